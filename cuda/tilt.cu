// The exponential weights of a batch: core/tilt.h by the threads of one block.
#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace {

template <int kThreads>
struct Team;
template <int kThreads>
__device__ __noinline__ double median_of(Team<kThreads> team, std::int64_t n, const double* values);

// Everything but the loops is done by all threads alike, on the same numbers. The code is kept short rather than unrolled: the
// kernel runs once a step, between others that have pushed it out of the caches, and most of its time goes into fetching it.
template <int kThreads>
struct Team {
  static constexpr int kWarps = kThreads / 32, kMost = 4;
  double* shared;  // kMost * kWarps numbers

  template <class F>
  __device__ void each(std::int64_t n, F f) const {
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) f(i);
  }
  template <class F>
  __device__ bool any(std::int64_t n, F f) const {
    int found = 0;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) found |= f(i) ? 1 : 0;
    return __syncthreads_or(found) != 0;
  }
  template <class F>
  __device__ void once(F f) const {
    if (threadIdx.x == 0) f();
  }
  template <int K, class F>
  __device__ void sums(std::int64_t n, F f, double (&out)[K]) const {
    join(
        n, f, 0, [](double a, double b) { return a + b; }, out);
  }
  template <int K, class F>
  __device__ void maxima(std::int64_t n, F f, double (&out)[K]) const {
    join(
        n, f, -tilt::kInfinity, [](double a, double b) { return tilt::larger(a, b); }, out);
  }

  // K numbers at a time: within threads, within warps, and then over the warps, in the same order always.
  template <int K, class F, class Op>
  __device__ void join(std::int64_t n, F f, double none, Op op, double (&out)[K]) const {
    static_assert(K <= kMost);
#pragma unroll
    for (int k = 0; k < K; ++k) out[k] = none;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
      double entries[K];
      f(i, entries);
#pragma unroll
      for (int k = 0; k < K; ++k) out[k] = op(entries[k], out[k]);
    }
#pragma unroll 1
    for (int lanes = 16; lanes > 0; lanes /= 2)
#pragma unroll
      for (int k = 0; k < K; ++k) out[k] = op(out[k], __shfl_xor_sync(0xffffffffu, out[k], lanes));
    if (threadIdx.x % 32 == 0)
#pragma unroll
      for (int k = 0; k < K; ++k) shared[threadIdx.x / 32 * K + k] = out[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; ++k) out[k] = shared[k];
#pragma unroll(kWarps <= 4 ? kWarps : 1)
    for (int warp = 1; warp < kWarps; ++warp)
#pragma unroll
      for (int k = 0; k < K; ++k) out[k] = op(out[k], shared[warp * K + k]);
    __syncthreads();
  }
  __device__ double median(std::int64_t n, const double* values) const { return median_of(*this, n, values); }
};

// By rank: the one value that has as many before it as it should. Of a first batch, and of all where there is no memory.
template <int kThreads>
__device__ __noinline__ double median_of(Team<kThreads> team, std::int64_t n, const double* values) {
  double above[1];
  team.template sums<1>(
      n, [=](std::int64_t i, double(&out)[1]) { out[0] = values[i] > -tilt::kInfinity ? 1 : 0; }, above);
  if (above[0] == 0) return 0;
  const std::int64_t wanted = (static_cast<std::int64_t>(above[0]) - 1) / 2;
  // The sum was waited for by all, so that every value is there to be read.
  team.each(n, [=](std::int64_t i) {
    const double mine = values[i];
    if (!(mine > -tilt::kInfinity)) return;
    std::int64_t rank = 0;
    for (std::int64_t j = 0; j < n; ++j)
      rank += values[j] > -tilt::kInfinity && (values[j] < mine || (values[j] == mine && j < i));
    if (rank == wanted) *team.shared = mine;
  });
  __syncthreads();
  const double middle = *team.shared;
  __syncthreads();
  return middle;
}

constexpr int kFew = 128, kMany = 512;  // threads
constexpr std::int64_t kSmall = 512;    // losses that kFew threads weigh, all in shared memory

// A step with nothing but ABSGD's own formulas: no prior, a lambda that is given. Compiled by itself it is a third as long.
bool is_plain(const tilt::Options& o, const Tensor& prior, const Tensor& prior_before) {
  return !o.mean && o.solve == tilt::Target::none && o.dual_rate == 0 && !prior.defined() && !prior_before.defined();
}

template <class T, int kThreads, bool kPlain>
__global__ void __launch_bounds__(kThreads)
    step_kernel(std::int64_t n, const T* losses, const double* prior, const double* prior_before, tilt::Options options,
                tilt::State* state, bool update, double* weights, double* workspace, T* seed, T* value) {
  using Threads = Team<kThreads>;
  constexpr bool kIsSmall = kThreads == kFew;
  __shared__ double shared[Threads::kMost * Threads::kWarps];
  __shared__ double small[kIsSmall ? 3 * kSmall : 1];
  const Threads team{shared};
  double* wide = kIsSmall ? small : workspace;  // the losses in double
  double* w = kIsSmall ? small + kSmall : weights;
  double* scratch = kIsSmall ? small + 2 * kSmall : workspace + n;
  if constexpr (kPlain) {
    prior = prior_before = nullptr;
    options.mean = false, options.solve = tilt::Target::none, options.dual_rate = 0;
  }
  team.each(n, [=](std::int64_t i) { wide[i] = static_cast<double>(losses[i]); });
  const tilt::Batch batch{n, wide, prior, prior_before};
  const double result = tilt::step(team, options, batch, *state, update, w, scratch);
  team.each(n, [=](std::int64_t i) {
    if (kIsSmall) weights[i] = w[i];
    seed[i] = static_cast<T>(tilt::quotient(w[i], static_cast<double>(n)));
  });
  team.once([=] { *value = static_cast<T>(result); });
}

template <class T>
TiltResult launch(const Tensor& losses, const Tensor& prior, const Tensor& prior_before, const tilt::Options& options,
                  Tensor& state, bool update) {
  const std::int64_t n = losses.numel();
  TiltResult result{Tensor::empty({n}, DType::f64, losses.device()), Tensor::empty({n}, losses.dtype(), losses.device()),
                    Tensor::empty({}, losses.dtype(), losses.device())};
  Tensor workspace = Tensor::empty({2 * n}, DType::f64, losses.device());
  const auto entries = [](const Tensor& x) { return x.defined() ? cuda::values<double>(x) : nullptr; };
  const auto run = [&]<int kThreads, bool kPlain>() {
    cuda::launch(step_kernel<T, kThreads, kPlain>, 1, kThreads, 0, cuda::stream(), n, cuda::values<T>(losses), entries(prior),
                 entries(prior_before), options, static_cast<tilt::State*>(state.mutable_raw()), update,
                 cuda::values<double>(result.weights), cuda::values<double>(workspace), cuda::values<T>(result.seed),
                 cuda::values<T>(result.value));
  };
  const bool plain = is_plain(options, prior, prior_before);
  if (n <= kSmall && plain) run.template operator()<kFew, true>();
  else if (n <= kSmall) run.template operator()<kFew, false>();
  else if (plain) run.template operator()<kMany, true>();
  else run.template operator()<kMany, false>();
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
