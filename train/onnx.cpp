#include "train/onnx.h"

#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/check.h"
#include "train/atomic_file.h"
#include "train/onnx_operations.h"
#include "train/traced_network.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "export_onnx";

// One batch normalisation by constants. As a difference and a product, OpenCV 4.6 takes the channels for the batch.
std::string normalized(OnnxGraph& graph, const std::string& images, const data::Normalization& normalization) {
  std::vector<double> scale;
  for (const double std : normalization.std) scale.push_back(1 / std);
  const auto constant = [&graph](const char* name, const Tensor& by_channel) {
    return graph.constant(name, by_channel.astype(DType::f32));
  };
  const Tensor mean = Tensor::from(normalization.mean);
  return graph.node(
      "BatchNormalization",
      {images, constant("normalize.scale", Tensor::from(scale)), constant("normalize.bias", Tensor::zeros(mean.shape())),
       constant("normalize.mean", mean), constant("normalize.variance", Tensor::ones(mean.shape()))},
      onnx_attribute("epsilon", 0.0f));
}

std::map<std::string, std::string> metadata_of(const ModelInfo& info, bool normalizes) {
  const auto text = [](const nlohmann::json& json) {
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  return {{"model", info.model},
          {"class_names", text(info.class_names)},
          {"normalize_mean", text(info.normalization.mean)},
          {"normalize_std", text(info.normalization.std)},
          {"logit_scale", text(info.logit_scale)},
          {"input", normalizes || info.normalization.empty() ? "[0, 1]" : "normalized"}};
}

}  // namespace

void export_onnx(const std::string& path, Module& net, const ModelInfo& info, const OnnxOptions& options) {
  const models::MakeOptions& o = info.options;
  check(o.channels >= 1 && o.image_size >= 1, kOp, "expected channels and image_size of at least 1; got {} and {}", o.channels,
        o.image_size);
  const data::Normalization& n = info.normalization;
  check(n.empty() || (static_cast<std::int64_t>(n.mean.size()) == o.channels && n.std.size() == n.mean.size()), kOp,
        "expected a mean and a std for each of {} channels, or none; got {} and {}", o.channels, n.mean.size(), n.std.size());
  TracedNetwork network = trace_network(net, {o.channels, o.image_size, o.image_size}, kOp);
  if (options.fold_batch_norm) fold_batch_norms(network);

  OnnxGraph graph;
  std::string x = graph.input("images", {-1, o.channels, o.image_size, o.image_size});
  const bool normalizes = options.normalize && !n.empty();
  if (normalizes) x = normalized(graph, x, n);
  std::string y = put_operations(network, x, graph);
  if (options.probabilities) {
    if (info.logit_scale != 1) y = graph.node("Mul", {y, graph.constant("logit_scale", Tensor::scalar(info.logit_scale))});
    y = graph.node("Softmax", {y}, onnx_attribute("axis", std::int64_t{-1}));
  }
  const TracedNetwork::Value& result = network[network.output];
  std::vector<std::int64_t> extents(result.shape.begin(), result.shape.end());
  for (std::size_t axis = 0; axis < extents.size(); ++axis)
    if (result.free[axis]) extents[axis] = -1;
  graph.output(options.probabilities ? "probabilities" : "logits", y, extents);
  write_atomically(path, graph.model(metadata_of(info, normalizes)));
}

}  // namespace heft::train
