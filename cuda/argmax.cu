// Where the first maximum along an axis is.
#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace cuda {
namespace {

struct Vectors {
  std::int64_t outer, n, inner;
};

template <class T>
__device__ bool beats(T v, std::int64_t at, T top, std::int64_t top_at) {
  if (v != v) return top == top || at < top_at;  // a NaN wins, so that it is seen
  return v > top || (v == top && at < top_at);
}

// A warp a vector, or with Lanes = 1 a thread.
template <class T, int Lanes>
__global__ void argmax_kernel(const T* x, Vectors s, std::int64_t* y) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / Lanes;
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x / Lanes;
  for (std::int64_t v = first; v < s.outer * s.inner; v += step) {
    const T* from = x + v / s.inner * s.n * s.inner + v % s.inner;
    std::int64_t at = Lanes == 1 ? 0 : threadIdx.x % Lanes;
    if (at >= s.n) at = 0;  // another lane's too, and no worse for it
    T top = from[at * s.inner];
#pragma unroll 4
    for (std::int64_t k = at + Lanes; k < s.n; k += Lanes)
      if (const T value = from[k * s.inner]; beats(value, k, top, at)) top = value, at = k;
    for (int lanes = Lanes / 2; lanes > 0; lanes /= 2) {
      const T other = __shfl_xor_sync(0xffffffffu, top, lanes);
      const std::int64_t other_at = __shfl_xor_sync(0xffffffffu, at, lanes);
      if (beats(other, other_at, top, at)) top = other, at = other_at;
    }
    if (Lanes == 1 || threadIdx.x % Lanes == 0) y[v] = at;
  }
}

}  // namespace
}  // namespace cuda

Tensor CudaBackend::argmax(const Tensor& x) {
  const cuda::Vectors s{x.size(0), x.size(1), x.size(2)};
  Tensor y = Tensor::empty(Shape{s.outer, s.inner}, DType::i64, x.device());
  const std::int64_t vectors = s.outer * s.inner;
  if (vectors == 0) return y;
  dispatch_number("argmax", x.dtype(), [&]<class T>() {
    const T* from = cuda::values<T>(x);
    std::int64_t* to = cuda::values<std::int64_t>(y);
    if (s.n <= 16 || s.inner >= 32) {
      cuda::argmax_kernel<T, 1><<<cuda::blocks_for(vectors, 1, 128), 128, 0, cuda::stream()>>>(from, s, to);
    } else {
      cuda::argmax_kernel<T, 32><<<cuda::blocks_for(32 * vectors, 1, 128), 128, 0, cuda::stream()>>>(from, s, to);
    }
    cuda::launched("argmax");
  });
  return y;
}

}  // namespace heft
