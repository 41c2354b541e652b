// Batch normalisation, forward: one kernel for the statistics, one to apply them.
#include "cuda/bf16.cuh"
#include "cuda/channels.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/layout.h"

namespace heft {
namespace cuda {
namespace {

constexpr int kBlock = 512;  // of the statistics: two blocks a multiprocessor, so that few partial results are left to join
constexpr int kUnroll = 4;   // rows a thread reads before it uses any

__device__ unsigned arrivals[kMaxTiles];  // blocks of a tile that are done; 0 between launches

// Where the statistics go: the batch's own, and those of the run unless null.
template <class T>
struct Statistics {
  T *mean, *variance, *running_mean, *running_variance;
  double momentum;
};

// Every thread holds count, mean and the sum of squared distances from it, which nothing large is ever subtracted from: four
// rows get theirs in registers, then join the thread's (Chan et al. 1979). The threads of a block, and then the blocks, are
// summed in f64 around the mean of one of them.
template <class Stored, int V, class T = Compute<Stored>>
__global__ void __launch_bounds__(kBlock) statistics_kernel(const Stored* x, Tiling g, T* partials, Statistics<T> result) {
  __shared__ T shifts[32];
  __shared__ double shared[kBlock / 32 * 64];
  const Place at = place<V>(g);
  const int t = static_cast<int>(threadIdx.x);
  T count = 0, mean[V] = {}, m2[V] = {};
  for (std::int64_t row = at.first; row < at.end; row += kUnroll * g.height) {
    Pack<Stored, V> p[kUnroll];
    int got = 0;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      if (const std::int64_t r = row + u * g.height; r < at.end) {
        p[u] = load<V>(x + r * g.channels + at.channel);
        got = u + 1;
      }
    const T n = static_cast<T>(got), share = n / (count + n), inverse = T(1) / n;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      T sum = 0, around = 0;
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) sum += u < got ? T(p[u].v[j]) : T(0);
      const T centre = sum * inverse, step = centre - mean[j];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        const T d = u < got ? T(p[u].v[j]) - centre : T(0);
        around += d * d;
      }
      mean[j] += step * share;
      m2[j] += around + step * step * count * share;
    }
    count += n;
  }
  T* shift = shifts + t % g.width * V;
  if (at.y == 0)
#pragma unroll
    for (int j = 0; j < V; ++j) shift[j] = mean[j];
  __syncthreads();
  double sums[2 * V];
#pragma unroll
  for (int j = 0; j < V; ++j) {
    const double n = static_cast<double>(count), d = count > T(0) ? static_cast<double>(mean[j]) - shift[j] : 0;
    sums[j] = n * d;
    sums[V + j] = static_cast<double>(m2[j]) + n * d * d;
  }
  sum_rows<kBlock>(g, sums, shared);
  if (at.active && at.y == 0)
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const double n = static_cast<double>(g.rows_of(static_cast<int>(blockIdx.x))), d = sums[j] / n;
      partials[2 * blockIdx.x * g.channels + at.channel + j] = static_cast<T>(shift[j] + d);
      partials[(2 * blockIdx.x + 1) * g.channels + at.channel + j] = static_cast<T>(sums[V + j] - sums[j] * d);
    }
  if (!arrives_last(&arrivals[blockIdx.y], gridDim.x)) return;
  // Around the mean of the first slice, plain sums do.
  sum_slices<kBlock>(
      g, g.width * V,
      [=](int c, int s, double& first, double& second) {
        const double n = static_cast<double>(g.rows_of(s));
        const double d =
            static_cast<double>(__ldcg(partials + 2 * s * g.channels + c)) - static_cast<double>(__ldcg(partials + c));
        first += n * d;
        second += static_cast<double>(__ldcg(partials + (2 * s + 1) * g.channels + c)) + n * d * d;
      },
      [=](int c, double first, double second) {
        const double rows = static_cast<double>(g.rows), m = second - first * first / rows;
        const double batch_mean = static_cast<double>(__ldcg(partials + c)) + first / rows;
        const double batch_variance = (m < 0 ? 0 : m) / rows;  // a NaN stays one
        result.mean[c] = static_cast<T>(batch_mean);
        result.variance[c] = static_cast<T>(batch_variance);
        const double keep = 1 - result.momentum;
        if (result.running_mean != nullptr)
          result.running_mean[c] = static_cast<T>(keep * result.running_mean[c] + result.momentum * batch_mean);
        if (result.running_variance != nullptr)
          result.running_variance[c] =
              static_cast<T>(keep * result.running_variance[c] + result.momentum * batch_variance * rows / (rows - 1));
      });
}

template <class T>
struct Constants {
  const T *gamma, *beta, *mean, *variance;
  T eps;
};

template <class Stored, int V, bool residual, class T = Compute<Stored>>
__global__ void __launch_bounds__(kThreads)
    apply_kernel(const Stored* x, Tiling g, Constants<T> k, const Stored* added, bool relu, Stored* y) {
  constexpr int kRead = rows_read(V);
  const Place at = place<V>(g);
  if (!at.active) return;
  const Pack<T, V> mean = load<V>(k.mean + at.channel), shift = load<V>(k.beta + at.channel);
  Pack<T, V> scale = load<V>(k.gamma + at.channel), variance = load<V>(k.variance + at.channel);
#pragma unroll
  for (int j = 0; j < V; ++j) scale.v[j] /= sqrt(variance.v[j] + k.eps);
  for (std::int64_t row = at.first; row < at.end; row += kRead * g.height) {
    Pack<Stored, V> p[kRead], q[kRead];
#pragma unroll
    for (int u = 0; u < kRead; ++u)
      if (const std::int64_t r = row + u * g.height; r < at.end) {
        p[u] = load<V>(x + r * g.channels + at.channel);
        if constexpr (residual) q[u] = load<V>(added + r * g.channels + at.channel);
      }
#pragma unroll
    for (int u = 0; u < kRead; ++u)
      if (const std::int64_t r = row + u * g.height; r < at.end) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          T v = (T(p[u].v[j]) - mean.v[j]) * scale.v[j] + shift.v[j];
          if constexpr (residual) v += T(q[u].v[j]);
          p[u].v[j] = static_cast<Stored>(relu && v < T(0) ? T(0) : v);
        }
        store(y + r * g.channels + at.channel, p[u]);
      }
  }
}

template <class Stored, int V>
void statistics(const Tensor& x, Tensor& mean, Tensor& variance, NormFusion& fusion) {
  using T = Compute<Stored>;
  const Tiling g = tiling("batch_norm", x.shape(), V, kBlock, 2 * multiprocessors(), 1);
  Tensor partials = Tensor::empty(Shape{2 * std::int64_t{g.slices} * g.channels}, x.dtype(), x.device());
  const Statistics<T> result{values<T>(mean), values<T>(variance),
                             fusion.running_mean.defined() ? values<T>(fusion.running_mean) : nullptr,
                             fusion.running_variance.defined() ? values<T>(fusion.running_variance) : nullptr, fusion.momentum};
  launch(statistics_kernel<Stored, V>, g.grid(), kBlock, 0, stream(), values<Stored>(x), g, values<T>(partials), result);
  launched("batch_norm");
}

template <class T, int V>
void apply(const Tensor& x, const Constants<Compute<T>>& constants, const Tensor& residual, bool relu, Tensor& y) {
  const Tiling g = tiling("batch_norm", x.shape(), V, kThreads, 16 * multiprocessors(), rows_read(V));
  const auto kernel = residual.defined() ? apply_kernel<T, V, true> : apply_kernel<T, V, false>;
  const T* added = residual.defined() ? values<T>(residual) : nullptr;
  launch(kernel, g.grid(), kThreads, 0, stream(), values<T>(x), g, constants, added, relu, values<T>(y));
  launched("batch_norm");
}

// x and the residual channels-last, kept alike.
Tensor normalise(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& variance,
                 double eps, const Tensor& residual, bool relu) {
  Tensor y = empty_kept_like(x.shape(), x);
  dispatch_image("batch_norm", x, [&]<class T>() {
    using C = Compute<T>;
    const Constants<C> constants{values<C>(gamma), values<C>(beta), values<C>(mean), values<C>(variance), static_cast<C>(eps)};
    const void* added = residual.defined() ? residual.raw() : nullptr;
    if (vectorised<T>(x.size(1), {x.raw(), gamma.raw(), beta.raw(), mean.raw(), variance.raw(), added}))
      apply<T, kWidest<T>>(x, constants, residual, relu, y);
    else apply<T, 1>(x, constants, residual, relu, y);
  });
  return y;
}

}  // namespace
}  // namespace cuda

BatchNormResult CudaBackend::batch_norm_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                              NormFusion& fusion) {
  const Tensor input = cuda::as_image(x);
  const Tensor residual = fusion.residual.defined() ? cuda::kept_like(fusion.residual, input) : Tensor{};
  Tensor mean = Tensor::empty(gamma.shape(), x.dtype(), x.device()), variance = Tensor::empty_like(mean);
  cuda::dispatch_image("batch_norm", input, [&]<class T>() {
    if (cuda::vectorised<T>(x.size(1), {input.raw()})) cuda::statistics<T, cuda::kSummed<T>>(input, mean, variance, fusion);
    else cuda::statistics<T, 1>(input, mean, variance, fusion);
  });
  const Tensor y = cuda::normalise(input, gamma, beta, mean, variance, eps, residual, fusion.relu);
  return {y, mean, variance, fusion.relu ? y : Tensor{}};
}

BatchNormResult CudaBackend::batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  NormFusion none;
  return batch_norm_fused(x, gamma, beta, eps, none);
}

Tensor CudaBackend::batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                    const Tensor& variance, double eps) {
  return cuda::normalise(cuda::as_image(x), gamma, beta, mean, variance, eps, {}, false);
}

}  // namespace heft
