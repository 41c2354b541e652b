#include "bench/limit/limit.h"

#include "core/check.h"

#ifdef HEFT_ONEDNN

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dnnl.h>

#include "autograd/trace.h"
#include "core/cpu/layout.h"
#include "core/random.h"

namespace heft::bench {
namespace {

using namespace onednn;

// ------------------------------------------------------------------------------------ the layers of a network

// An activation, by number. Those that differ by an operation of no interest here (a ReLU, a sum, another shape) are one.
using Id = int;
constexpr Id kImages = 0;

struct Layer {
  std::string op;
  Id x, y;
  Shape x_shape, y_shape, weight_shape = {};
  bool bias = false, relu = false;
  Dims kernel = {}, stride = {}, padding = {}, dilation = {};
};

bool has_layer(const std::string& op) {
  return op == "conv2d" || op == "batch_norm" || op == "max_pool2d" || op == "avg_pool2d" || op == "linear";
}

std::vector<Layer> layers_of(Module& net, const Tensor& images) {
  std::vector<Layer> layers;
  std::vector<Variable> alive;  // so that no two have had the same address
  std::map<const void*, Id> ids;
  const void* normed = nullptr;  // what the latest batch norm made
  const auto see = [&](const Operation& operation) {
    const std::string op = operation.op;
    const Id x = ids.at(operation.inputs[0].id());
    alive.push_back(operation.result);
    Id& y = ids[operation.result.id()];
    y = x;
    if (op == "relu" && operation.inputs[0].id() == normed) layers.back().relu = true;
    if (!has_layer(op)) return;
    y = static_cast<Id>(ids.size());
    if (op == "batch_norm") normed = operation.result.id();
    Layer layer{.op = op, .x = x, .y = y, .x_shape = operation.inputs[0].shape(), .y_shape = operation.result.shape()};
    if (op == "conv2d" || op == "linear") {
      layer.weight_shape = operation.inputs[1].shape();
      layer.bias = operation.inputs[2].defined();
    }
    for (const Attribute& attribute : operation.attributes) {
      const std::string name = attribute.name;
      if (name == "kernel") layer.kernel = attribute.integers;
      if (name == "stride") layer.stride = attribute.integers;
      if (name == "padding") layer.padding = attribute.integers;
      if (name == "dilation") layer.dilation = {attribute.integers[0] - 1, attribute.integers[1] - 1};  // oneDNN: 0 is dense
      check(name != "groups" || attribute.integers[0] == 1, "bare_step", "expected convolutions of one group; got {}",
            attribute.integers[0]);
    }
    layers.push_back(std::move(layer));
  };
  const NoGrad no_graph;
  const Variable start = images;
  ids[start.id()] = kImages;
  const OperationObserver observer(see);
  net(start);
  return layers;
}

// ------------------------------------------------------------------------------------ their primitives

// A weight is known by the activation that it helps to make.
enum class Role : std::uint8_t { value, gradient, weight, weight_gradient, bias, bias_gradient, mean, variance, workspace };

struct Argument {
  int arg;
  Role role;
  Id id;
};

class BareStep {
 public:
  BareStep(const std::vector<Layer>& layers, bool trains) : trains_(trains) {
    latest_[kImages] = row_major(dims_of(layers.front().x_shape));
    for (const Layer& layer : layers) {
      if (layer.op == "conv2d") add_convolution(layer);
      else if (layer.op == "batch_norm") add_batch_norm(layer);
      else if (layer.op == "linear") add_linear(layer);
      else add_pooling(layer, layer.op == "max_pool2d");
    }
  }

  void run() const {
    for (const auto* calls : {&forward_, &backward_})
      for (const Call& call : *calls)
        dnnl::error::wrap_c_api(
            dnnl_primitive_execute(call.primitive.get(), stream().get(), static_cast<int>(call.args.size()), call.args.data()),
            "could not execute a primitive");
    dnnl::error::wrap_c_api(dnnl_stream_wait(stream().get()), "could not wait for the primitives");
  }

 private:
  struct Call {
    dnnl::primitive primitive;
    std::vector<dnnl_exec_arg_t> args;
  };
  struct Buffer {
    Desc desc;
    Tensor storage;
    dnnl::memory memory;
  };

  dnnl::prop_kind forward_kind() const {
    return trains_ ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  }

  void add_convolution(const Layer& l) {
    constexpr auto direct = dnnl::algorithm::convolution_direct;
    const Desc x = any_format(dims_of(l.x_shape)), w = any_format(dims_of(l.weight_shape)), y = any_format(dims_of(l.y_shape));
    const Desc b = l.bias ? row_major({l.weight_shape[0]}) : Desc();
    const auto forward =
        describe<dnnl::convolution_forward>(forward_kind(), direct, x, w, b, y, l.stride, l.dilation, l.padding, l.padding);
    add_forward_product(l, forward);
    if (!trains_) return;
    if (l.x != kImages)
      add_input_gradient(l, describe_backward<dnnl::convolution_backward_data>(forward, direct, x, w, y, l.stride, l.dilation,
                                                                               l.padding, l.padding));
    add_weight_gradient(l, describe_backward<dnnl::convolution_backward_weights>(forward, direct, x, w, b, y, l.stride,
                                                                                 l.dilation, l.padding, l.padding));
  }

  void add_linear(const Layer& l) {
    const Desc x = any_format(dims_of(l.x_shape)), w = any_format(dims_of(l.weight_shape)), y = any_format(dims_of(l.y_shape));
    const Desc b = l.bias ? row_major({l.weight_shape[0]}) : Desc();
    const auto forward = describe<dnnl::inner_product_forward>(forward_kind(), x, w, b, y);
    add_forward_product(l, forward);
    if (!trains_) return;
    if (l.x != kImages) add_input_gradient(l, describe_backward<dnnl::inner_product_backward_data>(forward, x, w, y));
    add_weight_gradient(l, describe_backward<dnnl::inner_product_backward_weights>(forward, x, w, b, y));
  }

  void add_forward_product(const Layer& l, const dnnl::primitive_desc_base& desc) {
    std::vector<Argument> arguments = {
        {DNNL_ARG_SRC, Role::value, l.x}, {DNNL_ARG_WEIGHTS, Role::weight, l.y}, {DNNL_ARG_DST, Role::value, l.y}};
    if (l.bias) arguments.push_back({DNNL_ARG_BIAS, Role::bias, l.y});
    add_forward(desc, arguments);
    latest_[l.y] = port(desc, DNNL_ARG_DST);
  }
  void add_input_gradient(const Layer& l, const dnnl::primitive_desc_base& desc) {
    add_backward(desc, {{DNNL_ARG_DIFF_DST, Role::gradient, l.y},
                        {DNNL_ARG_WEIGHTS, Role::weight, l.y},
                        {DNNL_ARG_DIFF_SRC, Role::gradient, l.x}});
  }
  void add_weight_gradient(const Layer& l, const dnnl::primitive_desc_base& desc) {
    std::vector<Argument> arguments = {{DNNL_ARG_SRC, Role::value, l.x},
                                       {DNNL_ARG_DIFF_DST, Role::gradient, l.y},
                                       {DNNL_ARG_DIFF_WEIGHTS, Role::weight_gradient, l.y}};
    if (l.bias) arguments.push_back({DNNL_ARG_DIFF_BIAS, Role::bias_gradient, l.y});
    add_backward(desc, arguments);
  }

  void add_batch_norm(const Layer& l) {
    auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
    if (l.relu) flags |= dnnl::normalization_flags::fuse_norm_relu;
    if (!trains_) flags |= dnnl::normalization_flags::use_global_stats;
    constexpr float eps = 1e-5F;
    const Desc x = latest_.at(l.x);
    const auto forward = describe_batch_norm(forward_kind(), x, eps, flags);
    std::vector<Argument> arguments = {{DNNL_ARG_SRC, Role::value, l.x},    {DNNL_ARG_DST, Role::value, l.y},
                                       {DNNL_ARG_SCALE, Role::weight, l.y}, {DNNL_ARG_SHIFT, Role::bias, l.y},
                                       {DNNL_ARG_MEAN, Role::mean, l.y},    {DNNL_ARG_VARIANCE, Role::variance, l.y}};
    const Argument workspace{DNNL_ARG_WORKSPACE, Role::workspace, l.y};
    if (trains_ && l.relu) arguments.push_back(workspace);
    add_forward(forward, arguments);
    latest_[l.y] = x;
    if (!trains_) return;
    arguments = {{DNNL_ARG_SRC, Role::value, l.x},
                 {DNNL_ARG_DIFF_DST, Role::gradient, l.y},
                 {DNNL_ARG_SCALE, Role::weight, l.y},
                 {DNNL_ARG_MEAN, Role::mean, l.y},
                 {DNNL_ARG_VARIANCE, Role::variance, l.y},
                 {DNNL_ARG_DIFF_SRC, Role::gradient, l.x},
                 {DNNL_ARG_DIFF_SCALE, Role::weight_gradient, l.y},
                 {DNNL_ARG_DIFF_SHIFT, Role::bias_gradient, l.y}};
    if (kBatchNormBackwardTakesShift) arguments.push_back({DNNL_ARG_SHIFT, Role::bias, l.y});
    if (l.relu) arguments.push_back(workspace);
    add_backward(describe_batch_norm_backward(forward, x, eps, flags), arguments);
  }

  void add_pooling(const Layer& l, bool max) {
    const auto algorithm = max ? dnnl::algorithm::pooling_max : dnnl::algorithm::pooling_avg_include_padding;
    const Desc x = latest_.at(l.x), y = any_format(dims_of(l.y_shape));
    const Dims dilation{0, 0};
    const auto forward =
        describe<PoolForward>(forward_kind(), algorithm, x, y, l.stride, l.kernel, dilation, l.padding, l.padding);
    const Argument workspace{DNNL_ARG_WORKSPACE, Role::workspace, l.y};
    std::vector<Argument> arguments = {{DNNL_ARG_SRC, Role::value, l.x}, {DNNL_ARG_DST, Role::value, l.y}};
    if (trains_ && max) arguments.push_back(workspace);
    add_forward(forward, arguments);
    latest_[l.y] = port(forward, DNNL_ARG_DST);
    if (!trains_) return;
    arguments = {{DNNL_ARG_DIFF_DST, Role::gradient, l.y}, {DNNL_ARG_DIFF_SRC, Role::gradient, l.x}};
    if (max) arguments.push_back(workspace);
    add_backward(describe_backward<PoolBackward>(forward, algorithm, x, y, l.stride, l.kernel, dilation, l.padding, l.padding),
                 arguments);
  }

  void add_forward(const dnnl::primitive_desc_base& desc, const std::vector<Argument>& arguments) {
    forward_.push_back(bind(desc, arguments));
  }
  void add_backward(const dnnl::primitive_desc_base& desc, const std::vector<Argument>& arguments) {
    backward_.push_front(bind(desc, arguments));
  }

  static Desc port(const dnnl::primitive_desc_base& desc, int arg) { return desc.query_md(dnnl::query::exec_arg_md, arg); }

  Call bind(const dnnl::primitive_desc_base& desc, const std::vector<Argument>& arguments) {
    Call call{dnnl::primitive(desc.get()), {}};
    for (const auto& [arg, role, id] : arguments) call.args.push_back({arg, buffer(role, id, port(desc, arg)).get()});
    if (desc.scratchpad_desc().get_size() > 0) {
      buffers_.push_back(allocate(Role::workspace, desc.scratchpad_desc()));
      call.args.push_back({DNNL_ARG_SCRATCHPAD, buffers_.back().memory.get()});
    }
    return call;
  }

  // What was written in this format is read from where it lies; in another format it is a buffer of its own.
  const dnnl::memory& buffer(Role role, Id id, const Desc& desc) {
    std::vector<Buffer>& formats = named_[{role, id}];
    const auto found = std::find_if(formats.begin(), formats.end(), [&](const Buffer& b) { return b.desc == desc; });
    return (found != formats.end() ? *found : formats.emplace_back(allocate(role, desc))).memory;
  }

  // Numbers that stay ordinary ones on their way through a network.
  static Buffer allocate(Role role, const Desc& desc) {
    const auto bytes = static_cast<std::int64_t>(desc.get_size());
    Tensor storage;
    if (role == Role::workspace) storage = Tensor::zeros(Shape{bytes}, DType::u8);
    else if (role == Role::variance) storage = random_uniform(Shape{bytes / 4}, 0.5, 1.5);
    else storage = random_normal(Shape{bytes / 4}, 0, 0.05);
    dnnl::memory memory(desc, engine(), storage.mutable_raw());
    return {desc, std::move(storage), std::move(memory)};
  }

  bool trains_;
  std::map<Id, Desc> latest_;  // the format in which an activation was last made
  std::map<std::pair<Role, Id>, std::vector<Buffer>> named_;
  std::vector<Buffer> buffers_;
  std::deque<Call> forward_, backward_;
};

}  // namespace

std::function<void()> bare_step(Module& net, const Tensor& images, bool trains) {
  net.train(trains);
  const auto step = std::make_shared<const BareStep>(layers_of(net, images), trains);
  return [step] { step->run(); };
}

double sgemm_rate() {
  constexpr std::int64_t n = 2048;
  constexpr double operations = 2.0 * n * n * n;
  const Tensor a = random_normal({n, n}), b = random_normal({n, n});
  Tensor c = Tensor::empty({n, n});
  double best = 0;
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    dnnl_sgemm('N', 'N', n, n, n, 1, static_cast<const float*>(a.raw()), n, static_cast<const float*>(b.raw()), n, 0,
               static_cast<float*>(c.mutable_raw()), n);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, operations / seconds / 1e9);
  }
  return best;
}

}  // namespace heft::bench

#else

namespace heft::bench {

std::function<void()> bare_step(Module&, const Tensor&, bool) {
  fail("bare_step", "expected a build with oneDNN, whose primitives these are; this one has HEFT_ONEDNN=OFF");
}
double sgemm_rate() { return 0; }

}  // namespace heft::bench

#endif
