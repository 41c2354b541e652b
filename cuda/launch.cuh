// How kernels are launched over n elements, and reductions within a block. Internal to cuda/.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/tensor.h"
#include "cuda/kernel.cuh"
#include "cuda/status.h"
#include "cuda/stream.h"

namespace heft::cuda {

constexpr int kThreads = 256;

// V values that move in one access.
template <class T, int V>
struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) Pack {
  T v[V];
};

// Blocks for n elements, each thread taking `each` of them and then striding over the rest.
inline unsigned blocks_for(std::int64_t n, int each = 1, int threads = kThreads) {
  const std::int64_t wanted = (n + std::int64_t{each} * threads - 1) / (std::int64_t{each} * threads);
  return static_cast<unsigned>(std::clamp<std::int64_t>(wanted, 1, std::int64_t{multiprocessors()} * 16));
}

// Calls f(i) for every i in [0, n), one thread each.
template <class F>
__global__ void each_kernel(std::int64_t n, F f) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += std::int64_t{gridDim.x} * blockDim.x)
    f(i);
}
template <class F>
void for_each(const char* op, std::int64_t n, const F& f) {
  if (n == 0) return;
  launch(each_kernel<F>, blocks_for(n), kThreads, 0, stream(), n, f);
  launched(op);
}

template <class T>
const T* values(const Tensor& x) {
  return static_cast<const T*>(x.raw());
}
template <class T>
T* values(Tensor& x) {
  return static_cast<T*>(x.mutable_raw());
}

// The sum over the 32 threads of a warp, in every one of them.
template <class T>
__device__ inline T warp_sum(T v) {
  for (int lanes = 16; lanes > 0; lanes /= 2) v += __shfl_xor_sync(0xffffffffu, v, lanes);
  return v;
}
// The sum over a block of at most 1024 threads, whole warps, in every one of them, added in the same order always. `shared`
// holds 32 values and may be used again after the call.
template <class T>
__device__ inline T block_sum(T v, T* shared) {
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
  __syncthreads();
  v = threadIdx.x % 32 < blockDim.x / 32 ? shared[threadIdx.x % 32] : T(0);
  v = warp_sum(v);
  __syncthreads();
  return v;
}

}  // namespace heft::cuda
