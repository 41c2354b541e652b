#include "train/predict.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/ops.h"
#include "data/normalize.h"
#include "data/resize.h"
#include "train/evaluate.h"

namespace heft::train {

Tensor model_input(const std::vector<Tensor>& images, const ModelInfo& info) {
  constexpr const char* kOp = "model_input";
  const std::int64_t channels = info.options.channels, side = info.options.image_size;
  check(!images.empty(), kOp, "expected at least one image; got none");
  std::vector<Tensor> rows;
  for (const Tensor& image : images) {
    check<DTypeError>(image.dtype() == DType::u8, kOp, "expected images of u8; got {}", image.dtype());
    check<ShapeError>(image.rank() == 3 && image.size(0) == channels, kOp, "expected an image of shape ({}, H, W); got {}",
                      channels, image.shape());
    const bool fits = image.size(1) == side && image.size(2) == side;
    const Tensor resized =
        fits ? image : data::resize(image, side, side, data::centre_box(image.size(1), image.size(2), side, side));
    rows.push_back(resized.astype(DType::f32).unsqueeze(0));
  }
  Tensor input = (concat(rows, 0) / 255.0).contiguous();
  if (!info.normalization.empty()) data::normalize_(input, info.normalization);
  return input;
}

Tensor predict(Module& net, const ModelInfo& info, const Tensor& input) {
  const NoGrad no_grad;
  const EvaluationMode mode(net);
  const Tensor logits = net(input.to(network_device(net))).value().to(Device::cpu()).contiguous().astype(DType::f64);
  check<NumericError>(all_finite(logits), "predict", "expected finite logits; the network of model '{}' gives others",
                      info.model);
  return softmax(logits * info.logit_scale, 1);
}

std::vector<ClassProbability> top_k(const Tensor& probabilities, std::int64_t row, std::int64_t k) {
  check<ShapeError>(probabilities.rank() == 2 && row >= 0 && row < probabilities.size(0), "top_k",
                    "expected probabilities (N, classes) with a row {}; got shape {}", row, probabilities.shape());
  check(k >= 1, "top_k", "expected k >= 1; got {}", k);
  const std::vector<double> values = probabilities.select(0, row).to_vector<double>();
  std::vector<ClassProbability> all;
  for (std::size_t c = 0; c < values.size(); ++c) all.push_back({static_cast<std::int64_t>(c), values[c]});
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.probability > b.probability; });
  all.resize(std::min(all.size(), static_cast<std::size_t>(k)));
  return all;
}

}  // namespace heft::train
