// Which kernels convolve: on tensor cores where they take the shape and the precision is not f32, exact ones otherwise.
#include "cuda/conv.h"

#include "cuda/bf16.cuh"
#include "cuda/cuda.h"
#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"
#include "cuda/layout.h"

namespace heft {
namespace {

using namespace cuda;

ConvShape conv_shape(const Shape& x, const Shape& weight, const Conv2dGeometry& g) {
  const auto extent = [](std::int64_t n) { return static_cast<int>(n); };
  const auto outputs = [&](int axis) {
    const auto a = static_cast<std::size_t>(axis);
    return extent((x[2 + axis] + 2 * g.padding[a] - g.dilation[a] * (weight[2 + axis] - 1) - 1) / g.stride[a] + 1);
  };
  ConvShape s{};
  s.n = extent(x[0]), s.c = extent(x[1]), s.h = extent(x[2]), s.w = extent(x[3]);
  s.o = extent(weight[0]), s.kh = extent(weight[2]), s.kw = extent(weight[3]), s.oh = outputs(0), s.ow = outputs(1);
  s.stride_h = extent(g.stride[0]), s.stride_w = extent(g.stride[1]), s.pad_h = extent(g.padding[0]);
  s.pad_w = extent(g.padding[1]), s.dilation_h = extent(g.dilation[0]), s.dilation_w = extent(g.dilation[1]);
  s.groups = extent(g.groups);
  return s;
}

ConvDevice conv_device() { return {stream(), multiprocessors()}; }
bool on_tensor_cores(const Tensor& x) { return x.dtype() == DType::f32 && precision() != Precision::f32; }

// Whether a convolution leaves its output in bf16. Images of so few channels that they have kernels of their own stay f32, as
// they came, and so does what has channels in odd numbers.
bool leaves_bf16(const ConvShape& s, const Tensor& x) {
  return precision() == Precision::bf16 && x.dtype() == DType::f32 && s.groups == 1 && s.o % 8 == 0 &&
         (s.c % 8 == 0 || s.c <= 4);
}
bool multiplies_bf16(const ConvShape& s, const Tensor& x) { return leaves_bf16(s, x) && s.c % 8 == 0; }

Tensor bf16_buffer(const ConvShape& s) { return Tensor::empty(Shape{s.weight_size() / 2}, DType::f32, Device::cuda()); }

// The three in bf16; undefined where no kernel takes the shape.
Tensor forward_bf16(const ConvShape& s, const Tensor& x, const Tensor& weight, const float* bias) {
  const ConvDevice device = conv_device();
  Tensor y = empty_bf16(Shape{s.n, s.o, s.oh, s.ow});
  if (y.numel() == 0) return y;
  if (!multiplies_bf16(s, x)) {
    const Tensor in = as_channels_last(x);
    const bool done = conv_thin_forward(s, device, values<float>(in), values<float>(weight), bias, values<bf16>(y));
    return done ? y : Tensor();
  }
  const Tensor in = as_bf16(x);
  if (conv_direct_forward(s, device, values<bf16>(in), values<float>(weight), bias, values<bf16>(y))) return y;
  Tensor rounded = bf16_buffer(s);
  conv_round_weights(s, device, values<float>(weight), values<bf16>(rounded));
  const bf16 *px = values<bf16>(in), *pw = values<bf16>(rounded);
  bf16* py = values<bf16>(y);
  const bool done = conv_wgmma_forward(s, device, px, pw, bias, py) || conv_tile_forward(s, device, px, pw, bias, py);
  return done ? y : Tensor();
}

Tensor backward_input_bf16(const ConvShape& s, const Tensor& dy, const Tensor& weight) {
  const ConvDevice device = conv_device();
  Tensor dx = empty_bf16(Shape{s.n, s.c, s.h, s.w});
  if (dx.numel() == 0) return dx;
  const Tensor out = as_bf16(dy);
  if (conv_direct_backward_input(s, device, values<bf16>(out), values<float>(weight), values<bf16>(dx))) return dx;
  Tensor turned = bf16_buffer(s);
  conv_turn_weights(s, device, values<float>(weight), values<bf16>(turned));
  const bf16 *p = values<bf16>(out), *pw = values<bf16>(turned);
  bf16* px = values<bf16>(dx);
  const bool done = conv_wgmma_backward_input(s, device, p, pw, px) || conv_tile_backward_input(s, device, p, pw, px);
  return done ? dx : Tensor();
}

bool wgmma_backward_input(const ConvShape& s, const Tensor& dy, const Tensor& weight, Tensor& dx) {
  const ConvDevice device = conv_device();
  const float* p = values<float>(dy);
  float* px = values<float>(dx);
  if (!conv_wgmma_backward_input<float>(s, device, p, nullptr, px)) return false;
  Tensor turned = Tensor::empty(Shape{s.weight_size()}, DType::f32, Device::cuda());
  conv_turn_weights(s, device, values<float>(weight), values<float>(turned));
  return conv_wgmma_backward_input(s, device, p, values<float>(turned), px);
}

// T: what dy and x hold. The gradients are in f32 where that is bf16.
template <class T>
using WeightKernel = void (*)(const ConvShape&, const ConvDevice&, const ConvWeightPlan&, const T*, const T*, Compute<T>*,
                              Compute<T>*, Compute<T>*);

// Those of the weight's gradient; false, and nothing done, where no kernel takes the shape.
struct WeightWork {
  ConvShape s;
  ConvDevice device;
  const Tensor &dy, &x;
  WeightGradients result;  // a bias where it is wanted

  template <class T>
  bool run(const ConvWeightPlan& plan, const Tensor& out, const Tensor& in, WeightKernel<T> kernel) {
    if (plan.floats == 0) return false;
    using G = Compute<T>;
    Tensor workspace = Tensor::empty(Shape{plan.floats}, dy.dtype(), Device::cuda());
    kernel(s, device, plan, values<T>(out), values<T>(in), values<G>(result.weight),
           result.bias.defined() ? values<G>(result.bias) : nullptr, values<G>(workspace));
    return true;
  }
  bool some() const { return dy.numel() > 0 && result.weight.numel() > 0; }

  bool run_in_bf16() {
    if (!multiplies_bf16(s, dy) || !some()) return false;
    const Tensor out = as_bf16(dy), in = as_bf16(x);
    const bool bias = result.bias.defined();
    return run<bf16>(bias ? ConvWeightPlan{} : conv_wgmma_weight_bf16_plan(s, device), out, in, conv_wgmma_backward_weight) ||
           run<bf16>(conv_tile_weight_plan<bf16>(s, device), out, in, conv_tile_backward_weight<bf16>);
  }
  bool run_in_tf32() {
    if (!on_tensor_cores(dy) || !some()) return false;
    const Tensor out = as_channels_last(dy), in = as_channels_last(x);
    return run<float>(conv_wgmma_weight_plan(s, device), out, in, conv_wgmma_backward_weight) ||
           run<float>(conv_tile_weight_plan<float>(s, device), out, in, conv_tile_backward_weight<float>) ||
           run<float>(conv_thin_weight_plan(s, device), out, in, conv_thin_backward_weight);
  }
  template <class T>
  void run_exactly() {
    run<T>(conv_plain_weight_plan(s, device), as_channels_last(dy), as_channels_last(x), conv_plain_backward_weight<T>);
  }
};

// f(T()) for the dtype's T.
template <class F>
void with_float_type(DType dtype, const F& f) {
  if (dtype == DType::f64) f(double());
  else f(float());
}

}  // namespace

Tensor CudaBackend::conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) {
  const ConvShape s = conv_shape(x.shape(), weight.shape(), geometry);
  const Tensor w = as_channels_last(weight), b = bias.defined() ? bias.contiguous() : Tensor();
  if (leaves_bf16(s, x))
    if (const Tensor y = forward_bf16(s, x, w, b.defined() ? values<float>(b) : nullptr); y.defined()) {
      launched("conv2d");
      return y;
    }
  const Tensor in = as_channels_last(x);
  Tensor y = empty_channels_last(Shape{s.n, s.o, s.oh, s.ow}, x.dtype());
  if (y.numel() == 0) return y;
  with_float_type(x.dtype(), [&]<class T>(T) {
    const T* added = b.defined() ? values<T>(b) : nullptr;
    if constexpr (std::is_same_v<T, float>)
      if (on_tensor_cores(x) && (conv_wgmma_forward(s, conv_device(), values<T>(in), values<T>(w), added, values<T>(y)) ||
                                 conv_direct_forward(s, conv_device(), values<T>(in), values<T>(w), added, values<T>(y)) ||
                                 conv_tile_forward(s, conv_device(), values<T>(in), values<T>(w), added, values<T>(y)) ||
                                 conv_thin_forward(s, conv_device(), values<T>(in), values<T>(w), added, values<T>(y))))
        return;
    conv_plain_forward<T>(s, conv_device(), values<T>(in), values<T>(w), added, values<T>(y));
  });
  launched("conv2d");
  return y;
}

Tensor CudaBackend::conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape,
                                          const Conv2dGeometry& geometry) {
  const ConvShape s = conv_shape(x_shape, weight.shape(), geometry);
  const Tensor w = as_channels_last(weight);
  if (multiplies_bf16(s, dy))
    if (const Tensor dx = backward_input_bf16(s, dy, w); dx.defined()) {
      launched("conv2d_backward_input");
      return dx;
    }
  const Tensor out = as_channels_last(dy);
  Tensor dx = empty_channels_last(x_shape, dy.dtype());
  if (dx.numel() == 0) return dx;
  with_float_type(dy.dtype(), [&]<class T>(T) {
    if constexpr (std::is_same_v<T, float>)
      if (on_tensor_cores(dy) && (wgmma_backward_input(s, out, w, dx) ||
                                  conv_direct_backward_input(s, conv_device(), values<T>(out), values<T>(w), values<T>(dx)) ||
                                  conv_tile_backward_input(s, conv_device(), values<T>(out), values<T>(w), values<T>(dx))))
        return;
    conv_plain_backward_input<T>(s, conv_device(), values<T>(out), values<T>(w), values<T>(dx));
  });
  launched("conv2d_backward_input");
  return dx;
}

WeightGradients CudaBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight, bool want_bias,
                                                    const Conv2dGeometry& geometry) {
  WeightWork work{conv_shape(x.shape(), weight.shape(), geometry),
                  conv_device(),
                  dy,
                  x,
                  {empty_channels_last(weight.shape(), weight.dtype()), {}}};
  if (want_bias) work.result.bias = Tensor::empty(Shape{weight.size(0)}, weight.dtype(), Device::cuda());
  if (weight.size(0) > 0 && !work.run_in_bf16()) {
    if (dy.dtype() == DType::f64) work.run_exactly<double>();
    else if (!work.run_in_tf32()) work.run_exactly<float>();
  }
  launched("conv2d_backward_weight");
  Tensor& dw = work.result.weight;
  if (!(weight.layout() == dw.layout())) dw = to_layout(dw, weight.layout());
  return work.result;
}

Tensor CudaBackend::conv2d_prepare_weight(const Tensor& weight, const Tensor&, const Conv2dGeometry&) {
  return as_channels_last(weight);
}

}  // namespace heft
