// Which kernels convolve: on tensor cores where they take the shape and the precision is TF32, exact ones otherwise.
#include "cuda/conv.h"

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
bool on_tensor_cores(const Tensor& x) { return x.dtype() == DType::f32 && precision() == Precision::tf32; }

bool wgmma_backward_input(const ConvShape& s, const Tensor& dy, const Tensor& weight, Tensor& dx) {
  const auto run = [&](float* workspace) {
    return conv_wgmma_backward_input(s, conv_device(), values<float>(dy), values<float>(weight), values<float>(dx), workspace);
  };
  if (!run(nullptr)) return false;
  Tensor workspace = Tensor::empty(Shape{s.weight_size()}, DType::f32, Device::cuda());
  return run(values<float>(workspace));
}

// f(T()) for the dtype's T.
template <class F>
void with_float_type(DType dtype, const F& f) {
  if (dtype == DType::f64) f(double());
  else f(float());
}

}  // namespace

Tensor CudaBackend::conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) {
  const ConvShape s = conv_shape(x.shape(), weight.shape(), geometry);
  const Tensor in = as_channels_last(x), w = as_channels_last(weight), b = bias.defined() ? bias.contiguous() : Tensor();
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
  const Tensor out = as_channels_last(dy), w = as_channels_last(weight);
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
  const ConvShape s = conv_shape(x.shape(), weight.shape(), geometry);
  const ConvDevice device = conv_device();
  const Tensor out = as_channels_last(dy), in = as_channels_last(x);
  Tensor dw = empty_channels_last(weight.shape(), weight.dtype());
  Tensor db = want_bias ? Tensor::empty(Shape{s.o}, weight.dtype(), Device::cuda()) : Tensor();
  if (s.o > 0)
    with_float_type(dy.dtype(), [&]<class T>(T) {
      T* bias = want_bias ? values<T>(db) : nullptr;
      const auto run = [&](const ConvWeightPlan& plan, auto* backward) {
        Tensor workspace = Tensor::empty(Shape{plan.floats}, dy.dtype(), Device::cuda());
        backward(s, device, plan, values<T>(out), values<T>(in), values<T>(dw), bias, values<T>(workspace));
      };
      if constexpr (std::is_same_v<T, float>)
        if (on_tensor_cores(dy) && dy.numel() > 0 && dw.numel() > 0) {
          if (const ConvWeightPlan plan = conv_wgmma_weight_plan(s, device); plan.floats > 0)
            return run(plan, conv_wgmma_backward_weight);
          if (const ConvWeightPlan plan = conv_tile_weight_plan(s, device); plan.floats > 0)
            return run(plan, conv_tile_backward_weight);
          if (const ConvWeightPlan plan = conv_thin_weight_plan(s, device); plan.floats > 0)
            return run(plan, conv_thin_backward_weight);
        }
      run(conv_plain_weight_plan(s, device), conv_plain_backward_weight<T>);
    });
  launched("conv2d_backward_weight");
  if (!(weight.layout() == dw.layout())) dw = to_layout(dw, weight.layout());
  return {dw, db};
}

Tensor CudaBackend::conv2d_prepare_weight(const Tensor& weight, const Tensor&, const Conv2dGeometry&) {
  return as_channels_last(weight);
}

}  // namespace heft
