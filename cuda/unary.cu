// The unary functors of core/functors.h, a kernel each way.
#include <array>

#include "core/ops.h"
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
  Tensor y = Tensor::empty_like(x);
  dispatch_float("unary", x.dtype(), [&]<class T>() {
    static constexpr auto table = forward_table<T>(fn::Unary{});
    table[static_cast<std::size_t>(op)](params, x, y);
  });
  return y;
}

Tensor CudaBackend::unary_backward(int op, Params params, const Tensor& x, const Tensor& y, const Tensor& dy) {
  Tensor dx = Tensor::empty_like(x);
  dispatch_float("unary", x.dtype(), [&]<class T>() {
    static constexpr auto table = backward_table<T>(fn::Unary{});
    table[static_cast<std::size_t>(op)](params, x, y, dy, dx);
  });
  return dx;
}

}  // namespace heft
