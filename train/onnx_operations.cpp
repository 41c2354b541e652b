#include "train/onnx_operations.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <vector>

#include "core/check.h"

namespace heft::train {
namespace {

using Extents = std::vector<std::int64_t>;

constexpr const char* kOp = "export_onnx";

class Writer;
using Write = std::string (*)(Writer&);
const std::map<std::string_view, Write>& operations();

// One operation at a time, with what it was given; the table below says what becomes of it.
class Writer {
 public:
  Writer(const TracedNetwork& network, const std::string& images, OnnxGraph& graph)
      : graph_(graph), network_(network), names_(network.values.size()) {
    names_[static_cast<std::size_t>(network.input)] = images;
  }

  std::string write_all() {
    for (const TracedNetwork::Step& step : network_.steps) {
      const auto found = operations().find(step.op);
      if (found == operations().end()) {
        std::vector<std::string_view> known;
        for (const auto& [name, write] : operations()) known.push_back(name);
        fail(kOp, "expected operations that have a form in ONNX here, {}; the network has '{}'", fmt::join(known, ", "),
             step.op);
      }
      step_ = &step;
      names_[static_cast<std::size_t>(step.result)] = found->second(*this);
    }
    return names_[static_cast<std::size_t>(network_.output)];
  }

  std::size_t inputs() const { return step_->inputs.size(); }
  bool has(std::size_t input) const { return input < inputs() && step_->inputs[input] != TracedNetwork::kNone; }
  // The name of an input; constants come into the graph where they are first used.
  std::string name(std::size_t input) {
    if (!has(input)) return "";
    const int value = step_->inputs[input];
    std::string& known = names_[static_cast<std::size_t>(value)];
    if (known.empty()) known = graph_.constant(network_[value].name, network_[value].constant);
    return known;
  }
  const TracedNetwork::Value& value(std::size_t input) const { return network_[step_->inputs[input]]; }
  const TracedNetwork::Value& result() const { return network_[step_->result]; }
  int rank() const { return value(0).shape.rank(); }

  const Attribute* attribute(std::string_view name) const {
    for (const Attribute& one : step_->attributes)
      if (name == one.name) return &one;
    return nullptr;
  }
  const Attribute& given(std::string_view name) const {
    const Attribute* found = attribute(name);
    check(found != nullptr, kOp, "expected {} to say its {}; it does not (an operation of your own by that name?)", step_->op,
          name);
    return *found;
  }
  const Extents& integers(std::string_view name) const { return given(name).integers; }
  double number(std::string_view name) const { return given(name).number; }
  // Axes of the input, from the front.
  Extents axes(std::string_view name) const {
    Extents all;
    for (const std::int64_t axis : integers(name)) all.push_back(axis < 0 ? axis + rank() : axis);
    return all;
  }

  std::string node(const std::string& type, const std::vector<std::string>& inputs, const std::string& attributes = {}) {
    return graph_.node(type, inputs, attributes);
  }
  // The operation under its name in ONNX, with all its inputs.
  std::string same(const std::string& type, const std::string& attributes = {}) {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < inputs(); ++i) all.push_back(name(i));
    while (!all.empty() && all.back().empty()) all.pop_back();
    return node(type, all, attributes);
  }
  std::string scalar(double value) { return graph_.constant("constant", Tensor::scalar(value)); }
  std::string constant(const std::string& hint, const Tensor& value) { return graph_.constant(hint, value); }
  std::string constant(const std::string& hint, const Extents& values) { return graph_.constant(hint, values); }

 private:
  OnnxGraph& graph_;
  const TracedNetwork& network_;
  std::vector<std::string> names_;
  const TracedNetwork::Step* step_ = nullptr;
};

std::string twice(const char* name, const Extents& both) {
  return onnx_attribute(name, Extents{both[0], both[1], both[0], both[1]});
}

std::string conv2d(Writer& w) {
  const Shape& weight = w.value(1).shape;
  return w.same("Conv", onnx_attribute("kernel_shape", Extents{weight[2], weight[3]}) +
                            onnx_attribute("strides", w.integers("stride")) + twice("pads", w.integers("padding")) +
                            onnx_attribute("dilations", w.integers("dilation")) +
                            onnx_attribute("group", w.integers("groups")[0]));
}

std::string pool_attributes(const Writer& w) {
  return onnx_attribute("kernel_shape", w.integers("kernel")) + onnx_attribute("strides", w.integers("stride")) +
         twice("pads", w.integers("padding"));
}
std::string max_pool2d(Writer& w) { return w.same("MaxPool", pool_attributes(w)); }
std::string avg_pool2d(Writer& w) {
  const Shape& x = w.value(0).shape;
  if (w.integers("kernel") == Extents{x[2], x[3]} && w.integers("padding") == Extents{0, 0}) return w.same("GlobalAveragePool");
  return w.same("AveragePool", pool_attributes(w) + onnx_attribute("count_include_pad", std::int64_t{1}));
}

std::string batch_norm(Writer& w) {
  check(w.attribute("mean") != nullptr, kOp, "expected batch_norm in evaluation mode; it used the batch's own statistics");
  const auto statistic = [&w](const char* name) {
    return w.constant(name, w.given(name).tensor.contiguous().to(Device::cpu()).astype(DType::f32));
  };
  return w.node("BatchNormalization", {w.name(0), w.name(1), w.name(2), statistic("mean"), statistic("variance")},
                onnx_attribute("epsilon", static_cast<float>(w.number("eps"))));
}

std::string layer_norm(Writer& w) {
  const Shape row{w.value(0).shape.back()};
  const std::string scale = w.has(1) ? w.name(1) : w.constant("constant", Tensor::ones(row));
  return w.node("LayerNormalization", {w.name(0), scale, w.has(2) ? w.name(2) : w.constant("constant", Tensor::zeros(row))},
                onnx_attribute("axis", std::int64_t{-1}) + onnx_attribute("epsilon", static_cast<float>(w.number("eps"))));
}

// x / max(||x||, 1e-6)^power, rows along the last axis. In what OpenCV 4.6 reads and takes any batch for: neither ReduceL2, nor
// Max with a constant, nor a quotient of unlike shapes, but sums as products with ones.
std::string l2_normalize(Writer& w) {
  const std::int64_t length = w.value(0).shape.back();
  const std::string squares = w.node("Mul", {w.name(0), w.name(0)}), least = w.scalar(1e-6);
  const std::string sum = w.node("MatMul", {squares, w.constant("constant", Tensor::ones({length, 1}))});
  std::string divisor = w.node("Add", {w.node("Relu", {w.node("Sub", {w.node("Sqrt", {sum}), least})}), least});
  if (const double power = w.number("power"); power != 1) divisor = w.node("Pow", {divisor, w.scalar(power)});
  return w.node("Div", {w.name(0), w.node("MatMul", {divisor, w.constant("constant", Tensor::ones({1, length}))})});
}

std::string linear(Writer& w) {
  if (w.rank() == 2) return w.same("Gemm", onnx_attribute("transB", std::int64_t{1}));
  const std::string weight = w.node("Transpose", {w.name(1)}, onnx_attribute("perm", Extents{1, 0}));
  const std::string product = w.node("MatMul", {w.name(0), weight});
  return w.has(2) ? w.node("Add", {product, w.name(2)}) : product;
}

std::string reshape(Writer& w) {
  const TracedNetwork::Value &from = w.value(0), &to = w.result();
  if (to.shape.rank() == 2 && to.free[0] && !to.free[1] && from.shape.rank() >= 2 && from.free[0])
    return w.same("Flatten", onnx_attribute("axis", std::int64_t{1}));
  Extents extents(to.shape.begin(), to.shape.end());
  for (std::size_t axis = 0; axis < extents.size(); ++axis)
    if (to.free[axis]) extents[axis] = -1;
  check(std::count(extents.begin(), extents.end(), -1) <= 1, kOp,
        "expected a reshape whose result has the number of images in one axis; it is in more, as in {}", to.shape);
  return w.node("Reshape", {w.name(0), w.constant("shape", extents)});
}

std::string transpose(Writer& w) {
  const Extents swapped = w.axes("axes");
  Extents order;
  for (std::int64_t axis = 0; axis < w.rank(); ++axis) order.push_back(axis);
  std::swap(order[static_cast<std::size_t>(swapped[0])], order[static_cast<std::size_t>(swapped[1])]);
  return w.same("Transpose", onnx_attribute("perm", order));
}
std::string permute(Writer& w) { return w.same("Transpose", onnx_attribute("perm", w.axes("axes"))); }

std::string slice(Writer& w) {
  return w.node("Slice", {w.name(0), w.constant("starts", w.integers("begin")), w.constant("ends", w.integers("end")),
                          w.constant("axes", w.axes("axis")), w.constant("steps", w.integers("step"))});
}

std::string pad(Writer& w) {
  Extents pads = w.integers("before");
  const Extents& after = w.integers("after");
  pads.insert(pads.end(), after.begin(), after.end());
  return w.node("Pad", {w.name(0), w.constant("pads", pads), w.scalar(w.number("value"))});
}

std::string clamp(Writer& w) {
  const auto bound = [&w](double value) { return std::isinf(value) ? std::string() : w.scalar(value); };
  const std::string low = bound(w.number("low")), high = bound(w.number("high"));
  if (high.empty()) return low.empty() ? w.name(0) : w.node("Clip", {w.name(0), low});
  return w.node("Clip", {w.name(0), low, high});
}

// x Phi(x).
std::string gelu(Writer& w) {
  const std::string erf = w.node("Erf", {w.node("Mul", {w.name(0), w.scalar(std::sqrt(0.5))})});
  const std::string twice_cdf = w.node("Add", {erf, w.scalar(1)});
  return w.node("Mul", {w.node("Mul", {w.name(0), w.scalar(0.5)}), twice_cdf});
}
std::string silu(Writer& w) { return w.node("Mul", {w.name(0), w.node("Sigmoid", {w.name(0)})}); }

std::string axis_attribute(const Writer& w) { return onnx_attribute("axis", w.axes("axis")[0]); }

std::string keep_axes(const Writer& w) { return onnx_attribute("keepdims", std::int64_t{w.result().shape.rank() == w.rank()}); }
Extents reduced_axes(const Writer& w) {
  Extents axes = w.axes("axes");
  if (axes.empty())
    for (std::int64_t axis = 0; axis < w.rank(); ++axis) axes.push_back(axis);
  return axes;
}
std::string reduce(Writer& w, const char* type) { return w.same(type, onnx_attribute("axes", reduced_axes(w)) + keep_axes(w)); }
// Of two operands it is their larger one, of one its largest elements.
std::string extremum(Writer& w, const char* of_two, const char* of_one) {
  return w.inputs() == 2 ? w.same(of_two) : reduce(w, of_one);
}

std::string with_constant(Writer& w, const char* type, const char* attribute) {
  return w.node(type, {w.name(0), w.scalar(w.number(attribute))});
}

const std::map<std::string_view, Write>& operations() {
  static const std::map<std::string_view, Write> all{
      {"abs", [](Writer& w) { return w.same("Abs"); }},
      {"add", [](Writer& w) { return w.same("Add"); }},
      {"add_scalar", [](Writer& w) { return with_constant(w, "Add", "constant"); }},
      {"avg_pool2d", avg_pool2d},
      {"batch_norm", batch_norm},
      {"clamp", clamp},
      {"concat", [](Writer& w) { return w.same("Concat", axis_attribute(w)); }},
      {"conv2d", conv2d},
      {"div", [](Writer& w) { return w.same("Div"); }},
      {"exp", [](Writer& w) { return w.same("Exp"); }},
      {"gelu", gelu},
      {"l2_normalize", l2_normalize},
      {"layer_norm", layer_norm},
      {"leaky_relu",
       [](Writer& w) { return w.same("LeakyRelu", onnx_attribute("alpha", static_cast<float>(w.number("slope")))); }},
      {"linear", linear},
      {"log", [](Writer& w) { return w.same("Log"); }},
      {"log_softmax", [](Writer& w) { return w.same("LogSoftmax", axis_attribute(w)); }},
      {"logsumexp", [](Writer& w) { return reduce(w, "ReduceLogSumExp"); }},
      {"matmul", [](Writer& w) { return w.same("MatMul"); }},
      {"max", [](Writer& w) { return extremum(w, "Max", "ReduceMax"); }},
      {"max_pool2d", max_pool2d},
      {"mean", [](Writer& w) { return reduce(w, "ReduceMean"); }},
      {"min", [](Writer& w) { return extremum(w, "Min", "ReduceMin"); }},
      {"mul", [](Writer& w) { return w.same("Mul"); }},
      {"mul_scalar", [](Writer& w) { return with_constant(w, "Mul", "constant"); }},
      {"neg", [](Writer& w) { return w.same("Neg"); }},
      {"pad", pad},
      {"permute", permute},
      {"pow", [](Writer& w) { return w.same("Pow"); }},
      {"pow_scalar", [](Writer& w) { return with_constant(w, "Pow", "exponent"); }},
      {"relu", [](Writer& w) { return w.same("Relu"); }},
      {"reshape", reshape},
      {"sigmoid", [](Writer& w) { return w.same("Sigmoid"); }},
      {"silu", silu},
      {"slice", slice},
      {"softmax", [](Writer& w) { return w.same("Softmax", axis_attribute(w)); }},
      {"softplus", [](Writer& w) { return w.same("Softplus"); }},
      {"sqrt", [](Writer& w) { return w.same("Sqrt"); }},
      {"sub", [](Writer& w) { return w.same("Sub"); }},
      // Its axes are an input since opset 13; those of the others are attributes until 18.
      {"sum",
       [](Writer& w) {
         return w.node("ReduceSum", {w.name(0), w.constant("axes", reduced_axes(w))}, keep_axes(w));
       }},
      {"tanh", [](Writer& w) { return w.same("Tanh"); }},
      {"transpose", transpose}};
  return all;
}

}  // namespace

std::string put_operations(const TracedNetwork& network, const std::string& images, OnnxGraph& graph) {
  return Writer(network, images, graph).write_all();
}

}  // namespace heft::train
