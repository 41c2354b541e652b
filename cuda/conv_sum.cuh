// The sum of the partial weight gradients that blocks have left. Internal to cuda/.
#pragma once

#include <cstdint>

#include "cuda/kernel.cuh"

namespace heft::cuda {

// partials: (splits, weights + biases). kParts threads a value add every kParts-th split each, then the parts are added: the
// order is always the same.
template <class T, int kLanes, int kParts>
__global__ void __launch_bounds__(kLanes* kParts)
    conv_sum_kernel(const T* partials, int splits, std::int64_t weights, std::int64_t biases, T* dweight, T* dbias) {
  __shared__ T parts[kParts][kLanes];
  const std::int64_t count = weights + biases, at = std::int64_t{blockIdx.x} * kLanes + threadIdx.x;
  T sum = 0;
  if (at < count) {
#pragma unroll 8
    for (int split = threadIdx.y; split < splits; split += kParts) sum += partials[split * count + at];
  }
  if constexpr (kParts > 1) {
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0) return;
    for (int part = 1; part < kParts; ++part) sum += parts[part][threadIdx.x];
  }
  if (at >= count) return;
  if (at < weights) dweight[at] = sum;
  else dbias[at - weights] = sum;
}

template <int kLanes, int kParts, class T>
void launch_conv_sum(cudaStream_t stream, const T* partials, int splits, std::int64_t weights, std::int64_t biases, T* dweight,
                     T* dbias) {
  const auto blocks = static_cast<unsigned>((weights + biases + kLanes - 1) / kLanes);
  launch(conv_sum_kernel<T, kLanes, kParts>, dim3(blocks), dim3(kLanes, kParts), 0, stream, partials, splits, weights, biases,
         dweight, dbias);
}

template <class T>
void conv_sum(cudaStream_t stream, const T* partials, int splits, std::int64_t weights, std::int64_t biases, T* dweight,
              T* dbias) {
  if (splits <= 16) launch_conv_sum<256, 1>(stream, partials, splits, weights, biases, dweight, dbias);
  else if (splits <= 48) launch_conv_sum<64, 4>(stream, partials, splits, weights, biases, dweight, dbias);
  else launch_conv_sum<32, 8>(stream, partials, splits, weights, biases, dweight, dbias);
}

}  // namespace heft::cuda
