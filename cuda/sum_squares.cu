// The sum of squares of a whole tensor, in f64, in one launch.
#include "cuda/arrive.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"
#include "cuda/layout.h"

namespace heft {
namespace cuda {
namespace {

__device__ unsigned arrivals;  // blocks of sum_squares that are done; 0 between launches

template <class T>
__global__ void __launch_bounds__(kThreads) sum_squares_kernel(const T* x, std::int64_t n, double* partials, double* y) {
  __shared__ double shared[32];
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  double total = 0;
#pragma unroll 8
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) {
    const double v = x[i];
    total += v * v;
  }
  total = block_sum(total, shared);
  if (threadIdx.x == 0) partials[blockIdx.x] = total;
  if (!arrives_last(&arrivals, gridDim.x)) return;
  total = 0;
  for (unsigned b = threadIdx.x; b < gridDim.x; b += blockDim.x) total += __ldcg(partials + b);
  total = block_sum(total, shared);
  if (threadIdx.x == 0) *y = total;
}

}  // namespace
}  // namespace cuda

// Whatever the layout: the order of what is added up does not matter beyond being the same each time.
Tensor CudaBackend::sum_squares(const Tensor& x) {
  if (cuda::in_bf16(x)) return sum_squares(cuda::as_channels_last(x));
  const std::int64_t n = x.buffer_elements();
  const auto blocks =
      static_cast<unsigned>(std::clamp<std::int64_t>(n / (8 * cuda::kThreads), 1, 2 * std::int64_t{cuda::multiprocessors()}));
  Tensor y = Tensor::empty(Shape{}, DType::f64, x.device());
  Tensor partials = Tensor::empty(Shape{std::int64_t{blocks}}, DType::f64, x.device());
  dispatch_float("sum_squares", x.dtype(), [&]<class T>() {
    cuda::sum_squares_kernel<<<blocks, cuda::kThreads, 0, cuda::stream()>>>(
        cuda::values<T>(x), n, cuda::values<double>(partials), cuda::values<double>(y));
  });
  cuda::launched("sum_squares");
  return y;
}

}  // namespace heft
