// Selecting by index. Unlike on the CPU the indices are not checked beforehand, which would wait for the GPU: one that is out
// of range reads as NaN (0 in whole numbers) and adds to nothing.
#include <limits>
#include <type_traits>

#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace {

template <class T>
__device__ T missing() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::quiet_NaN();
  else return T(0);
}

template <class T>
void select(const Tensor& x, const Tensor& index, Tensor& y) {
  const std::int64_t n = x.size(1), inner = x.size(2), k = index.numel();
  const std::int64_t* at = cuda::values<std::int64_t>(index);
  const T* from = cuda::values<T>(x);
  T* to = cuda::values<T>(y);
  cuda::for_each("index_select", y.numel(), [=] __device__(std::int64_t e) {
    const std::int64_t i = e % inner, j = e / inner % k, o = e / inner / k, row = at[j];
    to[e] = row >= 0 && row < n ? from[(o * n + row) * inner + i] : missing<T>();
  });
}

// A thread an element of the result, which looks for the rows that go there: the sum has one order.
template <class T>
void add(const Tensor& dy, const Tensor& index, Tensor& dx) {
  const std::int64_t n = dx.size(1), inner = dx.size(2), k = index.numel();
  const std::int64_t* at = cuda::values<std::int64_t>(index);
  const T* from = cuda::values<T>(dy);
  T* to = cuda::values<T>(dx);
  cuda::for_each("index_add", dx.numel(), [=] __device__(std::int64_t e) {
    const std::int64_t i = e % inner, row = e / inner % n, o = e / inner / n;
    T sum = 0;
    for (std::int64_t j = 0; j < k; ++j)
      if (at[j] == row) sum += from[(o * k + j) * inner + i];
    to[e] = sum;
  });
}

template <class T>
void gather_elements(const Tensor& x, const Tensor& index, Tensor& y) {
  const std::int64_t n = x.size(1), inner = x.size(2), k = index.size(1);
  const std::int64_t* at = cuda::values<std::int64_t>(index);
  const T* from = cuda::values<T>(x);
  T* to = cuda::values<T>(y);
  cuda::for_each("gather", y.numel(), [=] __device__(std::int64_t e) {
    const std::int64_t i = e % inner, o = e / inner / k, row = at[e];
    to[e] = row >= 0 && row < n ? from[(o * n + row) * inner + i] : missing<T>();
  });
}

template <class T>
void add_elements(const Tensor& dy, const Tensor& index, Tensor& dx) {
  const std::int64_t n = dx.size(1), inner = dx.size(2), k = index.size(1);
  const std::int64_t* at = cuda::values<std::int64_t>(index);
  const T* from = cuda::values<T>(dy);
  T* to = cuda::values<T>(dx);
  cuda::for_each("gather", dx.numel(), [=] __device__(std::int64_t e) {
    const std::int64_t i = e % inner, row = e / inner % n, o = e / inner / n;
    T sum = 0;
    for (std::int64_t j = 0; j < k; ++j)
      if (const std::int64_t s = (o * k + j) * inner + i; at[s] == row) sum += from[s];
    to[e] = sum;
  });
}

}  // namespace

Tensor CudaBackend::index_select(const Tensor& x, const Tensor& index) {
  Tensor y = Tensor::empty({x.size(0), index.numel(), x.size(2)}, x.dtype(), x.device());
  dispatch_all(x.dtype(), [&]<class T>() { select<T>(x, index, y); });
  return y;
}

Tensor CudaBackend::index_add(const Tensor& dy, const Tensor& index, std::int64_t n) {
  Tensor dx = Tensor::empty({dy.size(0), n, dy.size(2)}, dy.dtype(), dy.device());
  dispatch_float("index_add", dy.dtype(), [&]<class T>() { add<T>(dy, index, dx); });
  return dx;
}

Tensor CudaBackend::gather(const Tensor& x, const Tensor& index) {
  Tensor y = Tensor::empty({x.size(0), index.size(1), x.size(2)}, x.dtype(), x.device());
  dispatch_all(x.dtype(), [&]<class T>() { gather_elements<T>(x, index, y); });
  return y;
}

Tensor CudaBackend::gather_backward(const Tensor& dy, const Tensor& index, std::int64_t n) {
  Tensor dx = Tensor::empty({dy.size(0), n, dy.size(2)}, dy.dtype(), dy.device());
  dispatch_float("gather", dy.dtype(), [&]<class T>() { add_elements<T>(dy, index, dx); });
  return dx;
}

}  // namespace heft
