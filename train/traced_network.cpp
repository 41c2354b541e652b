#include "train/traced_network.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "autograd/trace.h"
#include "core/check.h"
#include "core/ops.h"
#include "core/random.h"
#include "train/evaluate.h"

namespace heft::train {
namespace {

Tensor host_copy(const Tensor& x) { return x.contiguous().to(Device::cpu()); }

// One run. Variables are kept, so that an identity is not given out again.
class Recording {
 public:
  Recording(Module& net, const Shape& image, std::int64_t batch, const char* op) {
    std::vector<std::int64_t> extents{batch};
    extents.insert(extents.end(), image.begin(), image.end());
    const std::vector<Variable> parameters = net.parameters();
    const DType dtype = parameters.empty() ? DType::f32 : parameters.front().dtype();
    const RandomKey key{.seed = 1, .stream = static_cast<std::uint64_t>(batch)};
    const Variable images = random_uniform(Shape(extents), -1, 1, dtype, network_device(net), key);
    network.input = index_of(images, true);
    const OperationObserver watch([this](const Operation& operation) { add(operation); });
    const Variable result = net(images);
    const auto found = known_.find(result.id());
    check(found != known_.end() && depends_[static_cast<std::size_t>(found->second)], op,
          "expected the network's result to be computed from the images by operations of Variables; it is not");
    network.output = found->second;
  }

  TracedNetwork network;

 private:
  // A Variable that no operation has made before is a parameter, or a Tensor of the user's.
  int index_of(const Variable& variable, bool depends) {
    const auto [found, is_new] = known_.emplace(variable.id(), static_cast<int>(network.values.size()));
    if (!is_new) return found->second;
    kept_.push_back(variable);
    depends_.push_back(depends);
    network.values.push_back({.shape = variable.shape(), .free = {}, .name = variable.name()});
    if (!depends) network.values.back().constant = host_copy(variable.value());
    return found->second;
  }

  void add(const Operation& operation) {
    std::vector<int> inputs;
    bool depends = false;
    for (const Variable& input : operation.inputs) {
      const int index = input.defined() ? index_of(input, false) : TracedNetwork::kNone;
      depends = depends || (index != TracedNetwork::kNone && depends_[static_cast<std::size_t>(index)]);
      inputs.push_back(index);
    }
    const int result = index_of(operation.result, depends);
    if (depends) network.steps.push_back({operation.op, std::move(inputs), operation.attributes, result});
  }

  std::map<const void*, int> known_;
  std::vector<Variable> kept_;
  std::vector<bool> depends_;
};

bool equal(const Tensor& a, const Tensor& b) {
  if (a.defined() != b.defined()) return false;
  if (!a.defined()) return true;
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  if (a.shares_storage(b) || a.numel() == 0) return true;
  const Tensor one = host_copy(a), other = host_copy(b);
  const auto bytes = static_cast<std::size_t>(one.numel()) * size_of(one.dtype());
  return std::string_view(static_cast<const char*>(one.raw()), bytes) ==
         std::string_view(static_cast<const char*>(other.raw()), bytes);
}

bool equal(const Attributes& a, const Attributes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Attribute& one, const Attribute& other) {
    return one.integers == other.integers && one.number == other.number && equal(one.tensor, other.tensor);
  });
}

// Both runs did the same, but for the number of samples.
void compare(TracedNetwork& network, const TracedNetwork& other, const char* op) {
  check(network.steps.size() == other.steps.size() && network.values.size() == other.values.size() &&
            network.output == other.output,
        op, "expected the same operations for every batch; {} with 2 images, {} with 3", network.steps.size(),
        other.steps.size());
  for (std::size_t i = 0; i < network.steps.size(); ++i) {
    const TracedNetwork::Step &a = network.steps[i], &b = other.steps[i];
    check(a.op == b.op && a.inputs == b.inputs && a.result == b.result && equal(a.attributes, b.attributes), op,
          "expected the same operation for every batch; {} with 2 images and {} with 3 have other inputs or options", a.op,
          b.op);
  }
  for (std::size_t i = 0; i < network.values.size(); ++i) {
    TracedNetwork::Value& a = network.values[i];
    const TracedNetwork::Value& b = other.values[i];
    check(equal(a.constant, b.constant), op,
          "expected what enters operations to come from the images by operations of Variables, or to be constant; a value of "
          "shape {} is neither (computed with Tensors?)",
          a.shape);
    check(a.shape.rank() == b.shape.rank(), op, "expected the same shapes for every batch but for its size; got {} and {}",
          a.shape, b.shape);
    for (int axis = 0; axis < a.shape.rank(); ++axis) a.free.push_back(a.shape[axis] != b.shape[axis]);
  }
}

void drop_unused(TracedNetwork& network) {
  std::vector<bool> needed(network.values.size());
  needed[static_cast<std::size_t>(network.output)] = true;
  std::vector<TracedNetwork::Step> kept;
  for (auto step = network.steps.rbegin(); step != network.steps.rend(); ++step) {
    if (!needed[static_cast<std::size_t>(step->result)]) continue;
    for (const int input : step->inputs)
      if (input != TracedNetwork::kNone) needed[static_cast<std::size_t>(input)] = true;
    kept.push_back(std::move(*step));
  }
  network.steps.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
}

const Tensor& tensor_of(const Attributes& attributes, std::string_view name) {
  static const Tensor none;
  for (const Attribute& attribute : attributes)
    if (name == attribute.name) return attribute.tensor;
  return none;
}

}  // namespace

int TracedNetwork::add_constant(const std::string& name, const Tensor& constant) {
  values.push_back({.shape = constant.shape(),
                    .free = std::vector<bool>(static_cast<std::size_t>(constant.rank())),
                    .name = name,
                    .constant = constant});
  return static_cast<int>(values.size()) - 1;
}

TracedNetwork trace_network(Module& net, const Shape& image, const char* op) {
  const NoGrad no_grad;
  const EvaluationMode mode(net);
  TracedNetwork network = Recording(net, image, TracedNetwork::kBatch, op).network;
  compare(network, Recording(net, image, TracedNetwork::kBatch + 1, op).network, op);
  for (TracedNetwork::Value& value : network.values)
    if (value.constant.defined() && is_floating(value.constant.dtype())) value.constant = value.constant.astype(DType::f32);
  drop_unused(network);
  return network;
}

void fold_batch_norms(TracedNetwork& network) {
  std::vector<int> readers(network.values.size());
  std::vector<TracedNetwork::Step*> made_by(network.values.size(), nullptr);
  ++readers[static_cast<std::size_t>(network.output)];
  for (TracedNetwork::Step& step : network.steps) {
    made_by[static_cast<std::size_t>(step.result)] = &step;
    for (const int input : step.inputs)
      if (input != TracedNetwork::kNone) ++readers[static_cast<std::size_t>(input)];
  }
  for (TracedNetwork::Step& norm : network.steps) {
    const Tensor &mean = tensor_of(norm.attributes, "mean"), &variance = tensor_of(norm.attributes, "variance");
    if (norm.op != "batch_norm" || !mean.defined() || !network.is_constant(norm.inputs[1]) ||
        !network.is_constant(norm.inputs[2]))
      continue;
    const auto from = static_cast<std::size_t>(norm.inputs[0]);
    TracedNetwork::Step* conv = made_by[from];
    if (conv == nullptr || conv->op != "conv2d" || readers[from] != 1 || !network.is_constant(conv->inputs[1])) continue;
    const bool has_bias = conv->inputs[2] != TracedNetwork::kNone;
    if (has_bias && !network.is_constant(conv->inputs[2])) continue;

    const auto exact = [](const Tensor& x) { return host_copy(x).astype(DType::f64); };
    double eps = 0;
    for (const Attribute& attribute : norm.attributes)
      if (std::string_view(attribute.name) == "eps") eps = attribute.number;
    const Tensor scale = exact(network[norm.inputs[1]].constant) / unary<fn::Sqrt>(exact(variance) + eps);
    const Tensor bias = has_bias ? exact(network[conv->inputs[2]].constant) : Tensor::zeros_like(scale);
    const Tensor folded_bias = (bias - exact(mean)) * scale + exact(network[norm.inputs[2]].constant);
    const TracedNetwork::Value weight = network[conv->inputs[1]];
    conv->inputs[1] =
        network.add_constant(weight.name, (exact(weight.constant) * scale.reshape({-1, 1, 1, 1})).astype(DType::f32));
    const std::string bias_name = weight.name.substr(0, weight.name.rfind("weight")) + "bias";
    conv->inputs[2] = network.add_constant(bias_name, folded_bias.astype(DType::f32));
    // The convolution now makes what the batch norm made, which has nothing left to do.
    conv->result = norm.result;
    norm.op.clear();
  }
  std::erase_if(network.steps, [](const TracedNetwork::Step& step) { return step.op.empty(); });
}

}  // namespace heft::train
