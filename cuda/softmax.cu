// softmax and its logarithm along an axis, and their gradients. A group of threads has a vector: one thread where it is short
// or its neighbours in memory belong to other vectors, a warp, or a block.
#include <limits>

#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace cuda {
namespace {

// A NaN is greater than everything.
template <class T>
__device__ T larger(T a, T v) {
  return v > a || v != v ? v : a;
}

template <int Group, class T>
__device__ T group_sum(T v, T* shared) {
  if constexpr (Group == 32) v = warp_sum(v);
  if constexpr (Group > 32) v = block_sum(v, shared);
  return v;
}
template <int Group, class T>
__device__ T group_max(T v, T* shared) {
  if constexpr (Group > 1)
    for (int lanes = 16; lanes > 0; lanes /= 2) v = larger(v, __shfl_xor_sync(0xffffffffu, v, lanes));
  if constexpr (Group > 32) {
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
    __syncthreads();
    for (int w = 0; w < Group / 32; ++w) v = larger(v, shared[w]);
    __syncthreads();
  }
  return v;
}

struct Vectors {
  std::int64_t outer, n, inner;
};

// Calls f(first, lane) for the vectors, whose elements lie `inner` apart from `first` on; a thread takes lane, lane + Group,
// ...
template <int Group, class F>
__device__ void for_each_vector(const Vectors& s, F f) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (std::int64_t v = thread / Group; v < s.outer * s.inner; v += std::int64_t{gridDim.x} * blockDim.x / Group)
    f(v / s.inner * s.n * s.inner + v % s.inner, thread % Group);
}

template <int Group, class T>
__global__ void __launch_bounds__(kThreads) softmax_kernel(const T* x, Vectors s, bool log_of, T* y) {
  __shared__ T shared[32];
  for_each_vector<Group>(s, [=](std::int64_t first, std::int64_t lane) {
    T top = -std::numeric_limits<T>::infinity(), total = 0;
    for (std::int64_t k = lane; k < s.n; k += Group) top = larger(top, x[first + k * s.inner]);
    top = group_max<Group>(top, shared);
    for (std::int64_t k = lane; k < s.n; k += Group) total += exp(x[first + k * s.inner] - top);
    total = group_sum<Group>(total, shared);
    const T shift = log_of ? log(total) : T(1) / total;
    for (std::int64_t k = lane; k < s.n; k += Group) {
      const T shifted = x[first + k * s.inner] - top;
      y[first + k * s.inner] = log_of ? shifted - shift : exp(shifted) * shift;
    }
  });
}

template <int Group, class T>
__global__ void __launch_bounds__(kThreads) gradient_kernel(const T* y, const T* dy, Vectors s, bool log_of, T* dx) {
  __shared__ T shared[32];
  for_each_vector<Group>(s, [=](std::int64_t first, std::int64_t lane) {
    T sum = 0;  // of dy, weighted with the softmax unless the output is its logarithm
    for (std::int64_t k = lane; k < s.n; k += Group) {
      const std::int64_t i = first + k * s.inner;
      sum += dy[i] * (log_of ? T(1) : y[i]);
    }
    sum = group_sum<Group>(sum, shared);
    for (std::int64_t k = lane; k < s.n; k += Group) {
      const std::int64_t i = first + k * s.inner;
      dx[i] = log_of ? dy[i] - exp(y[i]) * sum : y[i] * (dy[i] - sum);
    }
  });
}

// Calls f.template operator()<Group>(blocks) with what suits these vectors.
template <class F>
void grouped(const Vectors& s, F f) {
  const std::int64_t vectors = s.outer * s.inner;
  if (s.n * vectors == 0) return;
  if (s.inner >= 8 || s.n <= 4) return f.template operator()<1>(blocks_for(vectors));
  if (s.n <= 2048) return f.template operator()<32>(blocks_for(32 * vectors));
  f.template operator()<kThreads>(blocks_for(kThreads * vectors));
}

}  // namespace
}  // namespace cuda

Tensor CudaBackend::softmax(const Tensor& x, bool log) {
  const char* op = log ? "log_softmax" : "softmax";
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  const cuda::Vectors s{x.size(0), x.size(1), x.size(2)};
  dispatch_float(op, x.dtype(), [&]<class T>() {
    const T* from = cuda::values<T>(x);
    T* to = cuda::values<T>(y);
    cuda::grouped(s, [&]<int Group>(unsigned blocks) {
      cuda::softmax_kernel<Group><<<blocks, cuda::kThreads, 0, cuda::stream()>>>(from, s, log, to);
      cuda::launched(op);
    });
  });
  return y;
}

Tensor CudaBackend::softmax_backward(const Tensor& y, const Tensor& dy, bool log) {
  const char* op = log ? "log_softmax" : "softmax";
  Tensor dx = Tensor::empty(y.shape(), y.dtype(), y.device());
  const cuda::Vectors s{y.size(0), y.size(1), y.size(2)};
  dispatch_float(op, y.dtype(), [&]<class T>() {
    const T *output = cuda::values<T>(y), *gradient = cuda::values<T>(dy);
    T* to = cuda::values<T>(dx);
    cuda::grouped(s, [&]<int Group>(unsigned blocks) {
      cuda::gradient_kernel<Group><<<blocks, cuda::kThreads, 0, cuda::stream()>>>(output, gradient, s, log, to);
      cuda::launched(op);
    });
  });
  return dx;
}

}  // namespace heft
