// The binary functors of core/functors.h, flat where the operands lie alike, else element by element through strides.
#include <array>

#include "cuda/bf16.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/map.cuh"
#include "cuda/strided.cuh"

namespace heft {
namespace {

template <class F, class T>
void forward(const Tensor& a, const Tensor& b, Tensor& y) {
  const T *pa = cuda::values<T>(a), *pb = cuda::values<T>(b);
  T* py = cuda::values<T>(y);
  const auto f = [] __device__(T u, T v) { return F{}.forward(u, v); };
  const bool equal = a.is_opaque() || (a.shape() == b.shape() && a.is_contiguous() && b.is_contiguous());
  if (equal) return cuda::map(F::name, y.buffer_elements(), py, f, pa, pb);
  const Shape& shape = y.shape();
  cuda::for_each_strided<3>(F::name, shape, {broadcast_strides(a, shape), broadcast_strides(b, shape), y.strides()},
                            [=] __device__(const std::int64_t(&at)[3]) { py[at[2]] = f(pa[at[0]], pb[at[1]]); });
}

template <class F, class T>
void backward(int which, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy, Tensor& dx) {
  const T *pa = cuda::values<T>(a), *pb = cuda::values<T>(b), *py = cuda::values<T>(y), *pdy = cuda::values<T>(dy);
  T* pdx = cuda::values<T>(dx);
  const auto f = [which] __device__(T u, T v, T w, T d) {
    return which == 0 ? F{}.backward_a(u, v, w, d) : F{}.backward_b(u, v, w, d);
  };
  if (a.is_opaque()) return cuda::map(F::name, dx.buffer_elements(), pdx, f, pa, pb, py, pdy);
  const Shape& shape = y.shape();
  cuda::for_each_strided<5>(
      F::name, shape, {broadcast_strides(a, shape), broadcast_strides(b, shape), y.strides(), dy.strides(), dx.strides()},
      [=] __device__(const std::int64_t(&at)[5]) { pdx[at[4]] = f(pa[at[0]], pb[at[1]], py[at[2]], pdy[at[3]]); });
}

using ForwardKernel = void (*)(const Tensor&, const Tensor&, Tensor&);
using BackwardKernel = void (*)(int, const Tensor&, const Tensor&, const Tensor&, const Tensor&, Tensor&);

template <class T, class... Fs>
constexpr std::array<ForwardKernel, sizeof...(Fs)> forward_table(fn::List<Fs...>) {
  return {forward<Fs, T>...};
}
template <class T, class... Fs>
constexpr std::array<BackwardKernel, sizeof...(Fs)> backward_table(fn::List<Fs...>) {
  return {backward<Fs, T>...};
}

// Kept in bf16 only sums have a kernel, as of gradients that meet; whatever else images meet there is computed in f32.
constexpr int kAdd = fn::IndexOf<fn::Add, fn::Binary>::value;

Tensor add_bf16(const Tensor& a, const Tensor& b) {
  using cuda::bf16;
  Tensor y = Tensor::empty_like(a);
  cuda::map(
      "add", a.numel(), cuda::values<bf16>(y), [] __device__(bf16 u, bf16 v) { return bf16(float(u) + float(v)); },
      cuda::values<bf16>(a), cuda::values<bf16>(b));
  return y;
}

}  // namespace

Tensor CudaBackend::binary(int op, const Tensor& a, const Tensor& b) {
  if (cuda::in_bf16(a)) return op == kAdd ? add_bf16(a, b) : binary(op, cuda::as_channels_last(a), cuda::as_channels_last(b));
  Tensor y =
      a.is_opaque() ? Tensor::empty_like(a) : Tensor::empty(broadcast(a.shape(), b.shape(), "binary"), a.dtype(), a.device());
  dispatch_number("binary", a.dtype(), [&]<class T>() {
    static constexpr auto table = forward_table<T>(fn::Binary{});
    table[static_cast<std::size_t>(op)](a, b, y);
  });
  return y;
}

Tensor CudaBackend::binary_backward(int op, int which, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy) {
  using cuda::as_channels_last;
  if (cuda::in_bf16(y))
    return binary_backward(op, which, as_channels_last(a), as_channels_last(b), as_channels_last(y), as_channels_last(dy));
  Tensor dx = Tensor::empty_like(y);
  dispatch_float("binary", a.dtype(), [&]<class T>() {
    static constexpr auto table = backward_table<T>(fn::Binary{});
    table[static_cast<std::size_t>(op)](which, a, b, y, dy, dx);
  });
  return dx;
}

}  // namespace heft
