// The sum of the partial weight gradients that blocks have left. Internal to cuda/.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace heft::cuda {

constexpr int kSumLanes = 32, kSumParts = 8;

// partials: (splits, weights + biases). Each part adds every eighth split, then the parts are added: the order is always the
// same.
template <class T>
__global__ void __launch_bounds__(kSumLanes* kSumParts)
    conv_sum_kernel(const T* partials, int splits, std::int64_t weights, std::int64_t biases, T* dweight, T* dbias) {
  __shared__ T parts[kSumParts][kSumLanes];
  const std::int64_t count = weights + biases, at = std::int64_t{blockIdx.x} * kSumLanes + threadIdx.x;
  T sum = 0;
  if (at < count) {
#pragma unroll 8
    for (int split = threadIdx.y; split < splits; split += kSumParts) sum += partials[split * count + at];
  }
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || at >= count) return;
  for (int part = 1; part < kSumParts; ++part) sum += parts[part][threadIdx.x];
  if (at < weights) dweight[at] = sum;
  else dbias[at - weights] = sum;
}

template <class T>
void conv_sum(cudaStream_t stream, const T* partials, int splits, std::int64_t weights, std::int64_t biases, T* dweight,
              T* dbias) {
  const dim3 block(kSumLanes, kSumParts);
  const auto blocks = static_cast<unsigned>((weights + biases + kSumLanes - 1) / kSumLanes);
  conv_sum_kernel<<<blocks, block, 0, stream>>>(partials, splits, weights, biases, dweight, dbias);
}

}  // namespace heft::cuda
