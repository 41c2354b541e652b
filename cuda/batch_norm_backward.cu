// The gradient of batch normalisation and of what was fused behind it: one kernel for the sums over a channel, one for dx.
#include "cuda/bf16.cuh"
#include "cuda/channels.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/layout.h"

namespace heft {
namespace cuda {
namespace {

constexpr int kBlock = 512;    // as in the forward statistics
constexpr int kSumUnroll = 2;  // rows that the sums' threads read before they use any

__device__ unsigned arrivals[kMaxTiles];  // blocks of a tile that are done; 0 between launches

template <class Stored, class T = Compute<Stored>>
struct Inputs {
  const Stored *dy, *y, *x;  // y: null without a relu
  const T *gamma, *mean, *variance;
  T eps;
};

// The gradient g behind the relu, summed, and its product with x - mean. `behind`: where g itself goes, or null.
template <class Stored, int V, bool relu, class T = Compute<Stored>>
__global__ void __launch_bounds__(kBlock)
    sums_kernel(Inputs<Stored> in, Tiling t, Stored* behind, T* partials, T* dgamma, T* dbeta) {
  __shared__ double shared[kBlock / 32 * 64];
  const Place at = place<V>(t);
  T sum[V] = {}, product[V] = {};
  Pack<T, V> mean = {};
  if (at.active) mean = load<V>(in.mean + at.channel);
  for (std::int64_t row = at.first; row < at.end; row += kSumUnroll * t.height) {
    Pack<Stored, V> g[kSumUnroll] = {}, x[kSumUnroll] = {}, y[kSumUnroll] = {};
#pragma unroll
    for (int u = 0; u < kSumUnroll; ++u)
      if (const std::int64_t r = row + u * t.height; r < at.end) {
        const std::int64_t i = r * t.channels + at.channel;
        g[u] = load<V>(in.dy + i);
        x[u] = load<V>(in.x + i);
        if constexpr (relu) y[u] = load<V>(in.y + i);
      }
#pragma unroll
    for (int u = 0; u < kSumUnroll; ++u)
      if (const std::int64_t r = row + u * t.height; r < at.end) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          if constexpr (relu) g[u].v[j] = T(y[u].v[j]) > T(0) ? g[u].v[j] : Stored(0.f);
          sum[j] += T(g[u].v[j]);
          product[j] += T(g[u].v[j]) * (T(x[u].v[j]) - mean.v[j]);
        }
        if (behind != nullptr) store(behind + r * t.channels + at.channel, g[u]);
      }
  }
  double sums[2 * V];
#pragma unroll
  for (int j = 0; j < V; ++j) sums[j] = sum[j], sums[V + j] = product[j];
  sum_rows<kBlock>(t, sums, shared);
  if (at.active && at.y == 0)
#pragma unroll
    for (int j = 0; j < V; ++j) {
      partials[2 * blockIdx.x * t.channels + at.channel + j] = static_cast<T>(sums[j]);
      partials[(2 * blockIdx.x + 1) * t.channels + at.channel + j] = static_cast<T>(sums[V + j]);
    }
  if (!arrives_last(&arrivals[blockIdx.y], gridDim.x)) return;
  sum_slices<kBlock>(
      t, t.width * V,
      [=](int c, int s, double& a, double& b) {
        a += static_cast<double>(__ldcg(partials + 2 * s * t.channels + c));
        b += static_cast<double>(__ldcg(partials + (2 * s + 1) * t.channels + c));
      },
      [=](int c, double a, double b) {
        dbeta[c] = static_cast<T>(a);
        dgamma[c] = static_cast<T>(b / sqrt(static_cast<double>(in.variance[c]) + static_cast<double>(in.eps)));
      });
}

// dx = scale (g - sum(g) / rows - x^ sum(g x^) / rows), x^ the normalised x.
template <class Stored, int V, bool relu, class T = Compute<Stored>>
__global__ void __launch_bounds__(kThreads)
    input_kernel(Inputs<Stored> in, Tiling t, const T* dgamma, const T* dbeta, Stored* dx) {
  constexpr int kRead = rows_read(V);
  const Place at = place<V>(t);
  if (!at.active) return;
  const T per_row = T(1) / static_cast<T>(t.rows);
  const Pack<T, V> mean = load<V>(in.mean + at.channel), variance = load<V>(in.variance + at.channel);
  Pack<T, V> scale = load<V>(in.gamma + at.channel), slope = load<V>(dgamma + at.channel), level = load<V>(dbeta + at.channel);
#pragma unroll
  for (int j = 0; j < V; ++j) {
    const T inverse = T(1) / sqrt(variance.v[j] + in.eps);
    scale.v[j] *= inverse;
    slope.v[j] *= inverse * per_row;
    level.v[j] *= per_row;
  }
  for (std::int64_t row = at.first; row < at.end; row += kRead * t.height) {
    Pack<Stored, V> g[kRead], x[kRead], y[kRead];
#pragma unroll
    for (int u = 0; u < kRead; ++u)
      if (const std::int64_t r = row + u * t.height; r < at.end) {
        const std::int64_t i = r * t.channels + at.channel;
        g[u] = load<V>(in.dy + i);
        x[u] = load<V>(in.x + i);
        if constexpr (relu) y[u] = load<V>(in.y + i);
      }
#pragma unroll
    for (int u = 0; u < kRead; ++u)
      if (const std::int64_t r = row + u * t.height; r < at.end) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          T v = T(g[u].v[j]);
          if constexpr (relu) v = T(y[u].v[j]) > T(0) ? v : T(0);
          g[u].v[j] = static_cast<Stored>(scale.v[j] * (v - level.v[j] - (T(x[u].v[j]) - mean.v[j]) * slope.v[j]));
        }
        store(dx + r * t.channels + at.channel, g[u]);
      }
  }
}

template <class Stored, int V, bool relu>
void run(Inputs<Stored> in, const Shape& shape, Tensor& behind, BatchNormGradients& result) {
  using T = Compute<Stored>;
  constexpr int S = std::min(V, kSummed<Stored>);
  const Tiling g = tiling("batch_norm", shape, S, kBlock, 2 * multiprocessors(), 1);
  Tensor partials = Tensor::empty(Shape{2 * std::int64_t{g.slices} * g.channels}, result.gamma.dtype(), Device::cuda());
  T *dgamma = values<T>(result.gamma), *dbeta = values<T>(result.beta);
  Stored* kept = behind.defined() ? values<Stored>(behind) : nullptr;
  launch(sums_kernel<Stored, S, relu>, g.grid(), kBlock, 0, stream(), in, g, kept, values<T>(partials), dgamma, dbeta);
  launched("batch_norm");
  const Tiling wide = tiling("batch_norm", shape, V, kThreads, 16 * multiprocessors(), rows_read(V));
  Stored* dx = values<Stored>(result.input);
  if (relu && kept != nullptr) {  // what the first kernel has left saves reading y again
    in.dy = kept;
    launch(input_kernel<Stored, V, false>, wide.grid(), kThreads, 0, stream(), in, wide, dgamma, dbeta, dx);
  } else {
    launch(input_kernel<Stored, V, relu>, wide.grid(), kThreads, 0, stream(), in, wide, dgamma, dbeta, dx);
  }
  launched("batch_norm");
}

}  // namespace
}  // namespace cuda

BatchNormGradients CudaBackend::batch_norm_fused_backward(Tensor dy, const BatchNormResult& forward, const Tensor& x,
                                                          const Tensor& gamma, const Tensor& beta, double eps, bool relu,
                                                          bool want_residual) {
  if (relu && !forward.kept.defined())  // of another backend
    return Backend::batch_norm_fused_backward(std::move(dy), forward, x, gamma, beta, eps, relu, want_residual);
  const Tensor input = cuda::as_image(x), gradient = cuda::kept_like(dy, input);
  const Tensor output = relu ? cuda::kept_like(forward.kept, input) : Tensor{};
  BatchNormGradients result{cuda::empty_kept_like(x.shape(), input), Tensor::empty(gamma.shape(), x.dtype(), x.device()),
                            Tensor::empty(gamma.shape(), x.dtype(), x.device()),
                            relu && want_residual ? cuda::empty_kept_like(x.shape(), input) : Tensor{}};
  cuda::dispatch_image("batch_norm", input, [&]<class T>() {
    using namespace cuda;
    using C = Compute<T>;
    const T* py = relu ? values<T>(output) : nullptr;
    const Inputs<T> in{
        values<T>(gradient), py, values<T>(input), values<C>(gamma), values<C>(forward.mean), values<C>(forward.variance),
        static_cast<C>(eps)};
    constexpr int V = kWidest<T>;
    if (vectorised<T>(x.size(1), {in.dy, in.y, in.x, in.gamma, in.mean, in.variance})) {
      if (relu) run<T, V, true>(in, x.shape(), result.residual, result);
      else run<T, V, false>(in, x.shape(), result.residual, result);
    } else {
      if (relu) run<T, 1, true>(in, x.shape(), result.residual, result);
      else run<T, 1, false>(in, x.shape(), result.residual, result);
    }
  });
  if (want_residual && !relu) result.residual = gradient;
  return result;
}

BatchNormGradients CudaBackend::batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                                    const Tensor& variance, double eps) {
  return batch_norm_fused_backward(dy, {{}, mean, variance}, x, gamma, {}, eps, false, false);
}

}  // namespace heft
