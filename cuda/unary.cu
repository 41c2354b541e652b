// The unary functors of core/functors.h, a kernel each way.
#include <array>

#include "core/ops.h"
#include "cuda/bf16.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/map.cuh"

namespace heft {
namespace {

using Forward = void (*)(const Params&, const Tensor&, Tensor&);
using Backward = void (*)(const Params&, const Tensor&, const Tensor&, const Tensor&, Tensor&);

template <class F, class T>
void forward(const Params& params, const Tensor& x, Tensor& y) {
  const F f = unpack<F>(params);
  cuda::map(
      F::name, x.buffer_elements(), cuda::values<T>(y), [f] __device__(T v) { return f.forward(v); }, cuda::values<T>(x));
}
template <class F, class T>
void backward(const Params& params, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  const F f = unpack<F>(params);
  cuda::map(
      F::name, x.buffer_elements(), cuda::values<T>(dx), [f] __device__(T v, T w, T d) { return f.backward(v, w, d); },
      cuda::values<T>(x), cuda::values<T>(y), cuda::values<T>(dy));
}

// Kept in bf16 only relu has kernels, for networks without batch norm; whatever else images meet there is computed in f32.
constexpr int kRelu = fn::IndexOf<fn::Relu, fn::Unary>::value;

Tensor relu_bf16(const Tensor& x) {
  using cuda::bf16;
  Tensor y = Tensor::empty_like(x);
  cuda::map(
      "relu", x.numel(), cuda::values<bf16>(y), [] __device__(bf16 v) { return bf16(fn::Relu{}.forward(float(v))); },
      cuda::values<bf16>(x));
  return y;
}
Tensor relu_backward_bf16(const Tensor& x, const Tensor& y, const Tensor& dy) {
  using cuda::bf16;
  Tensor dx = Tensor::empty_like(x);
  cuda::map(
      "relu", x.numel(), cuda::values<bf16>(dx),
      [] __device__(bf16 v, bf16 w, bf16 d) { return bf16(fn::Relu{}.backward(float(v), float(w), float(d))); },
      cuda::values<bf16>(x), cuda::values<bf16>(y), cuda::values<bf16>(dy));
  return dx;
}

template <class T, class... Fs>
constexpr std::array<Forward, sizeof...(Fs)> forward_table(fn::List<Fs...>) {
  return {forward<Fs, T>...};
}
template <class T, class... Fs>
constexpr std::array<Backward, sizeof...(Fs)> backward_table(fn::List<Fs...>) {
  return {backward<Fs, T>...};
}

}  // namespace

Tensor CudaBackend::unary(int op, Params params, const Tensor& x) {
  if (cuda::in_bf16(x)) return op == kRelu ? relu_bf16(x) : unary(op, params, cuda::as_channels_last(x));
  Tensor y = Tensor::empty_like(x);
  dispatch_float("unary", x.dtype(), [&]<class T>() {
    static constexpr auto table = forward_table<T>(fn::Unary{});
    table[static_cast<std::size_t>(op)](params, x, y);
  });
  return y;
}

Tensor CudaBackend::unary_backward(int op, Params params, const Tensor& x, const Tensor& y, const Tensor& dy) {
  using cuda::as_channels_last;
  if (cuda::in_bf16(x))
    return op == kRelu ? relu_backward_bf16(x, y, dy)
                       : unary_backward(op, params, as_channels_last(x), as_channels_last(y), as_channels_last(dy));
  Tensor dx = Tensor::empty_like(x);
  dispatch_float("unary", x.dtype(), [&]<class T>() {
    static constexpr auto table = backward_table<T>(fn::Unary{});
    table[static_cast<std::size_t>(op)](params, x, y, dy, dx);
  });
  return dx;
}

}  // namespace heft
