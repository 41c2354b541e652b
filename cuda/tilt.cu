// The exponential weights of a batch: core/tilt.h by the threads of one block.
#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace {

// Functions of their own, as tilt::exp_of is.
__device__ __noinline__ double sum_of_warp(double v) { return cuda::warp_sum(v); }
__device__ __noinline__ double max_of_warp(double v) {
  for (int lanes = 16; lanes > 0; lanes /= 2) v = tilt::larger(v, __shfl_xor_sync(0xffffffffu, v, lanes));
  return v;
}

// Everything but the loops is done by all threads alike, on the same numbers. A small batch is one warp's: what costs time here
// is waiting for each other.
template <int kThreads>
struct Team {
  double* shared;  // kThreads / 32 + 1 numbers

  __device__ static void wait() {
    if constexpr (kThreads == 32) __syncwarp();
    else __syncthreads();
  }
  __device__ double sum(double v) const {
    v = sum_of_warp(v);
    if constexpr (kThreads > 32) v = sum_of_warp(from_warps(v, 0));
    return v;
  }
  __device__ double largest(double v) const {
    v = max_of_warp(v);
    if constexpr (kThreads > 32) v = max_of_warp(from_warps(v, -tilt::kInfinity));
    return v;
  }
  // What the warps have, in every warp, one a lane.
  __device__ double from_warps(double v, double none) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane == 0) shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = lane < kThreads / 32 ? shared[lane] : none;
    __syncthreads();
    return v;
  }

  template <class F>
  __device__ void each(std::int64_t n, F f) const {
    wait();
    for (std::int64_t i = threadIdx.x; i < n; i += kThreads) f(i);
    wait();
  }
  template <int K, class F>
  __device__ void sums(std::int64_t n, F f, double (&out)[K]) const {
    double mine[K] = {};
    for (std::int64_t i = threadIdx.x; i < n; i += kThreads) {
      double entries[K];
      f(i, entries);
      for (int k = 0; k < K; ++k) mine[k] += entries[k];
    }
    for (int k = 0; k < K; ++k) out[k] = sum(mine[k]);
  }
  template <class F>
  __device__ double max(std::int64_t n, F f) const {
    double top = -tilt::kInfinity;
    for (std::int64_t i = threadIdx.x; i < n; i += kThreads) top = tilt::larger(f(i), top);
    return largest(top);
  }
  // By rank: the one value that has as many before it as it should.
  __device__ double median(std::int64_t n, const double* values) const {
    double above[1];
    sums<1>(
        n, [=](std::int64_t i, double(&out)[1]) { out[0] = values[i] > -tilt::kInfinity ? 1 : 0; }, above);
    if (above[0] == 0) return 0;
    const std::int64_t wanted = (static_cast<std::int64_t>(above[0]) - 1) / 2;
    double* found = shared + kThreads / 32;
    for (std::int64_t i = threadIdx.x; i < n; i += kThreads) {
      if (!(values[i] > -tilt::kInfinity)) continue;
      std::int64_t rank = 0;
      for (std::int64_t j = 0; j < n; ++j)
        rank += values[j] > -tilt::kInfinity && (values[j] < values[i] || (values[j] == values[i] && j < i));
      if (rank == wanted) *found = values[i];
    }
    wait();
    const double middle = *found;
    wait();
    return middle;
  }
};

constexpr std::int64_t kSmall = 512;  // what one warp does, all of it in shared memory

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    step_kernel(std::int64_t n, const T* losses, const double* prior, const double* prior_before, tilt::Options options,
                tilt::State* state, bool update, double* weights, double* workspace, T* seed, T* value) {
  __shared__ double shared[kThreads / 32 + 1];
  __shared__ double small[kThreads == 32 ? 3 * kSmall : 1];
  const Team<kThreads> team{shared};
  double* wide = kThreads == 32 ? small : workspace;  // the losses in double
  double* w = kThreads == 32 ? small + kSmall : weights;
  double* scratch = kThreads == 32 ? small + 2 * kSmall : workspace + n;
  team.each(n, [=](std::int64_t i) { wide[i] = static_cast<double>(losses[i]); });
  const tilt::Batch batch{n, wide, prior, prior_before};
  tilt::State next = *state;
  const double result = tilt::step(team, options, batch, next, update, w, scratch);
  team.each(n, [=](std::int64_t i) {
    if (kThreads == 32) weights[i] = w[i];
    seed[i] = static_cast<T>(w[i] / static_cast<double>(n));
  });
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
  const auto run = [&]<int kThreads>() {
    cuda::launch(step_kernel<T, kThreads>, 1, kThreads, 0, cuda::stream(), n, cuda::values<T>(losses), entries(prior),
                 entries(prior_before), options, static_cast<tilt::State*>(state.mutable_raw()), update,
                 cuda::values<double>(result.weights), cuda::values<double>(workspace), cuda::values<T>(result.seed),
                 cuda::values<T>(result.value));
  };
  if (n <= kSmall) run.template operator()<32>();
  else run.template operator()<256>();
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
