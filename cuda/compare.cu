// Comparisons, and the choice between two operands by a condition.
#include <array>

#include "cuda/cuda_backend.h"
#include "cuda/strided.cuh"

namespace heft {
namespace {

template <class F, class T>
void compare(const Tensor& a, const Tensor& b, Tensor& y) {
  const T *pa = cuda::values<T>(a), *pb = cuda::values<T>(b);
  bool* py = cuda::values<bool>(y);
  const Shape& shape = y.shape();
  cuda::for_each_strided<3>(F::name, shape, {broadcast_strides(a, shape), broadcast_strides(b, shape), y.strides()},
                            [=] __device__(const std::int64_t(&at)[3]) { py[at[2]] = F{}.forward(pa[at[0]], pb[at[1]]); });
}

template <class T>
void choose(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& y) {
  const bool* pc = cuda::values<bool>(condition);
  const T *pa = cuda::values<T>(a), *pb = cuda::values<T>(b);
  T* py = cuda::values<T>(y);
  const Shape& shape = y.shape();
  cuda::for_each_strided<4>(
      "where", shape,
      {broadcast_strides(condition, shape), broadcast_strides(a, shape), broadcast_strides(b, shape), y.strides()},
      [=] __device__(const std::int64_t(&at)[4]) { py[at[3]] = pc[at[0]] ? pa[at[1]] : pb[at[2]]; });
}

using Kernel = void (*)(const Tensor&, const Tensor&, Tensor&);

template <class T, class... Fs>
constexpr std::array<Kernel, sizeof...(Fs)> table_of(fn::List<Fs...>) {
  return {compare<Fs, T>...};
}

}  // namespace

Tensor CudaBackend::compare(int op, const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(broadcast(a.shape(), b.shape(), "compare"), DType::boolean, a.device());
  dispatch_all(a.dtype(), [&]<class T>() {
    static constexpr auto table = table_of<T>(fn::Compare{});
    table[static_cast<std::size_t>(op)](a, b, y);
  });
  return y;
}

Tensor CudaBackend::where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  const Shape shape = broadcast(condition.shape(), broadcast(a.shape(), b.shape(), "where"), "where");
  Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  dispatch_all(a.dtype(), [&]<class T>() { choose<T>(condition, a, b, y); });
  return y;
}

}  // namespace heft
