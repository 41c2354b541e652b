// The cross entropy of a softmax with class labels, a kernel each way.
#include <limits>

#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace cuda {
namespace {

constexpr double kLowest = CrossEntropyResult::kLowest;

// A warp a row. `saved` is the logarithm of the softmax, or -infinity where the logit was clamped and has no gradient.
template <class T>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(const T* logits, const std::int64_t* labels, std::int64_t rows, std::int64_t classes, T* losses, T* saved) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t warps = std::int64_t{gridDim.x} * blockDim.x / 32;
  for (std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32; row < rows; row += warps) {
    const T* x = logits + row * classes;
    T top = -std::numeric_limits<T>::infinity(), total = 0;
    const auto raise = [&](T v) { top = v > top || v != v ? v : top; };
    for (std::int64_t k = lane; k < classes; k += 32) raise(x[k]);
    for (int lanes = 16; lanes > 0; lanes /= 2) raise(__shfl_xor_sync(0xffffffffu, top, lanes));
    top += top * T(0);  // an infinity makes the row NaN
    const auto clamped = [](T d) { return d < T(kLowest) ? T(kLowest) : d; };
    for (std::int64_t k = lane; k < classes; k += 32) total += exp(clamped(x[k] - top));
    const T shift = log(warp_sum(total));
    for (std::int64_t k = lane; k < classes; k += 32) {
      const T d = x[k] - top;
      saved[row * classes + k] = d < T(kLowest) ? -std::numeric_limits<T>::infinity() : d - shift;
    }
    if (lane > 0) continue;
    const std::int64_t label = labels[row];
    if (label < 0 || label >= classes) {
      losses[row] = std::numeric_limits<T>::quiet_NaN();
      continue;
    }
    const T loss = shift - clamped(x[label] - top);
    losses[row] = loss < T(0) ? T(0) : loss;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const T* saved, const std::int64_t* labels, const T* dlosses, std::int64_t n, std::int64_t classes, T* dx) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += std::int64_t{gridDim.x} * blockDim.x) {
    const std::int64_t row = i / classes, k = i % classes, label = labels[row];
    if (label < 0 || label >= classes) {
      dx[i] = std::numeric_limits<T>::quiet_NaN();
      continue;
    }
    // A loss that was raised to 0 has no gradient, nor has a row of NaN.
    const T g = saved[row * classes + label] <= T(0) ? dlosses[row] : T(0), p = saved[i];
    dx[i] = p > -std::numeric_limits<T>::infinity() ? exp(p) * g - (k == label ? g : T(0)) : T(0);
  }
}

}  // namespace
}  // namespace cuda

CrossEntropyResult CudaBackend::cross_entropy(const Tensor& logits, const Tensor& labels) {
  const std::int64_t rows = logits.size(0), classes = logits.size(1);
  CrossEntropyResult result{Tensor::empty(Shape{rows}, logits.dtype(), logits.device()), Tensor::empty_like(logits)};
  if (rows == 0) return result;
  dispatch_float("cross_entropy", logits.dtype(), [&]<class T>() {
    using namespace cuda;
    const std::int64_t* at = values<std::int64_t>(labels);
    constexpr int kSmall = 128;  // threads a block, so that a small batch has more than a few of them
    launch(forward_kernel<T>, blocks_for(32 * rows, 1, kSmall), kSmall, 0, stream(), values<T>(logits), at, rows, classes,
           values<T>(result.losses), values<T>(result.saved));
  });
  cuda::launched("cross_entropy");
  return result;
}

Tensor CudaBackend::cross_entropy_backward(const Tensor& saved, const Tensor& labels, const Tensor& dlosses) {
  Tensor dx = Tensor::empty_like(saved);
  if (dx.numel() == 0) return dx;
  dispatch_float("cross_entropy", saved.dtype(), [&]<class T>() {
    using namespace cuda;
    const std::int64_t* at = values<std::int64_t>(labels);
    launch(gradient_kernel<T>, blocks_for(dx.numel()), kThreads, 0, stream(), values<T>(saved), at, values<T>(dlosses),
           dx.numel(), saved.size(1), values<T>(dx));
  });
  cuda::launched("cross_entropy");
  return dx;
}

}  // namespace heft
