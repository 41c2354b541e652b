// The exponential weights of a batch: core/tilt.h by the threads of one block.
#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace {

// Everything but the loops is done by all threads alike, on the same numbers.
struct Block {
  double* shared;  // 33 numbers

  template <class F>
  __device__ void each(std::int64_t n, F f) const {
    __syncthreads();
    for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) f(i);
    __syncthreads();
  }
  template <int K, class F>
  __device__ void sums(std::int64_t n, F f, double (&out)[K]) const {
    double mine[K] = {};
    for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      double entries[K];
      f(i, entries);
      for (int k = 0; k < K; ++k) mine[k] += entries[k];
    }
    for (int k = 0; k < K; ++k) out[k] = cuda::block_sum(mine[k], shared);
  }
  template <class F>
  __device__ double max(std::int64_t n, F f) const {
    double top = -tilt::kInfinity;
    for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) top = tilt::larger(f(i), top);
    for (int lanes = 16; lanes > 0; lanes /= 2) top = tilt::larger(__shfl_xor_sync(0xffffffffu, top, lanes), top);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = top;
    __syncthreads();
    top = threadIdx.x % 32 < blockDim.x / 32 ? shared[threadIdx.x % 32] : -tilt::kInfinity;
    for (int lanes = 16; lanes > 0; lanes /= 2) top = tilt::larger(__shfl_xor_sync(0xffffffffu, top, lanes), top);
    __syncthreads();
    return top;
  }
  // By rank: the one value that has as many before it as it should.
  __device__ double median(std::int64_t n, const double* values) const {
    double above[1];
    sums<1>(
        n, [=](std::int64_t i, double(&out)[1]) { out[0] = values[i] > -tilt::kInfinity ? 1 : 0; }, above);
    if (above[0] == 0) return 0;
    const std::int64_t wanted = (static_cast<std::int64_t>(above[0]) - 1) / 2;
    for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      if (!(values[i] > -tilt::kInfinity)) continue;
      std::int64_t rank = 0;
      for (std::int64_t j = 0; j < n; ++j)
        rank += values[j] > -tilt::kInfinity && (values[j] < values[i] || (values[j] == values[i] && j < i));
      if (rank == wanted) shared[32] = values[i];
    }
    __syncthreads();
    const double middle = shared[32];
    __syncthreads();
    return middle;
  }
};

template <class T>
__global__ void __launch_bounds__(256)
    step_kernel(std::int64_t n, const T* losses, const double* prior, const double* prior_before, tilt::Options options,
                tilt::State* state, bool update, double* weights, double* workspace, T* seed, T* value) {
  __shared__ double shared[33];
  const Block block{shared};
  double* wide = workspace;  // the losses in double
  block.each(n, [=](std::int64_t i) { wide[i] = static_cast<double>(losses[i]); });
  const tilt::Batch batch{n, wide, prior, prior_before};
  tilt::State next = *state;
  const double result = tilt::step(block, options, batch, next, update, weights, workspace + n);
  block.each(n, [=](std::int64_t i) { seed[i] = static_cast<T>(weights[i] / static_cast<double>(n)); });
  if (threadIdx.x == 0) {
    if (update) *state = next;
    *value = static_cast<T>(result);
  }
}

template <class T>
TiltResult launch(const Tensor& losses, const Tensor& prior, const Tensor& prior_before, const tilt::Options& options,
                  Tensor& state, bool update) {
  const std::int64_t n = losses.numel();
  TiltResult result{Tensor::empty({n}, DType::f64, losses.device()), Tensor::empty({n}, losses.dtype(), losses.device()),
                    Tensor::empty({}, losses.dtype(), losses.device())};
  Tensor workspace = Tensor::empty({2 * n}, DType::f64, losses.device());
  const auto entries = [](const Tensor& x) { return x.defined() ? cuda::values<double>(x) : nullptr; };
  const unsigned threads = n <= 32 ? 32 : n <= 128 ? 128 : 256;
  step_kernel<T><<<1, threads, 0, cuda::stream()>>>(n, cuda::values<T>(losses), entries(prior), entries(prior_before), options,
                                                    static_cast<tilt::State*>(state.mutable_raw()), update,
                                                    cuda::values<double>(result.weights), cuda::values<double>(workspace),
                                                    cuda::values<T>(result.seed), cuda::values<T>(result.value));
  cuda::launched("absgd");
  return result;
}

}  // namespace

TiltResult CudaBackend::tilt(const Tensor& losses, const Tensor& prior, const Tensor& prior_before,
                             const tilt::Options& options, Tensor& state, bool update) {
  return dispatch_float("absgd", losses.dtype(),
                        [&]<class T>() { return launch<T>(losses, prior, prior_before, options, state, update); });
}

}  // namespace heft
