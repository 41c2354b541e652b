// The gradient of batch normalisation and of what was fused behind it: one kernel for the sums over a channel, one for dx.
#include "cuda/channels.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/layout.h"

namespace heft {
namespace cuda {
namespace {

constexpr int kBlock = 512;  // as in the forward statistics
constexpr int kUnroll = 4;   // rows a thread reads before it uses any; of the sums, which read more from each, kSumUnroll
constexpr int kSumUnroll = 2;

__device__ unsigned arrivals[kMaxTiles];  // blocks of a tile that are done; 0 between launches

template <class T>
struct Inputs {
  const T *dy, *y, *x, *gamma, *mean, *variance;  // y: null without a relu
  T eps;
};

// The gradient g behind the relu, summed, and its product with x - mean. `behind`: where g itself goes, or null.
template <class T, int V, bool relu>
__global__ void __launch_bounds__(kBlock) sums_kernel(Inputs<T> in, Tiling t, T* behind, T* partials, T* dgamma, T* dbeta) {
  __shared__ double shared[kBlock / 32 * 64];
  const Place at = place<V>(t);
  T sum[V] = {}, product[V] = {};
  Pack<T, V> mean = {};
  if (at.active) mean = load<V>(in.mean + at.channel);
  for (std::int64_t row = at.first; row < at.end; row += kSumUnroll * t.height) {
    Pack<T, V> g[kSumUnroll] = {}, x[kSumUnroll] = {}, y[kSumUnroll] = {};
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
          if constexpr (relu) g[u].v[j] = y[u].v[j] > T(0) ? g[u].v[j] : T(0);
          sum[j] += g[u].v[j];
          product[j] += g[u].v[j] * (x[u].v[j] - mean.v[j]);
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
template <class T, int V, bool relu>
__global__ void __launch_bounds__(kThreads) input_kernel(Inputs<T> in, Tiling t, const T* dgamma, const T* dbeta, T* dx) {
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
  for (std::int64_t row = at.first; row < at.end; row += kUnroll * t.height) {
    Pack<T, V> g[kUnroll], x[kUnroll], y[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      if (const std::int64_t r = row + u * t.height; r < at.end) {
        const std::int64_t i = r * t.channels + at.channel;
        g[u] = load<V>(in.dy + i);
        x[u] = load<V>(in.x + i);
        if constexpr (relu) y[u] = load<V>(in.y + i);
      }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
      if (const std::int64_t r = row + u * t.height; r < at.end) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          if constexpr (relu) g[u].v[j] = y[u].v[j] > T(0) ? g[u].v[j] : T(0);
          g[u].v[j] = scale.v[j] * (g[u].v[j] - level.v[j] - (x[u].v[j] - mean.v[j]) * slope.v[j]);
        }
        store(dx + r * t.channels + at.channel, g[u]);
      }
  }
}

template <class T, int V, bool relu>
void run(Inputs<T> in, const Shape& shape, Tensor& behind, BatchNormGradients& result) {
  const Tiling g = tiling("batch_norm", shape, V, kBlock, 2 * multiprocessors(), 1);
  Tensor partials = Tensor::empty(Shape{2 * std::int64_t{g.slices} * g.channels}, result.gamma.dtype(), Device::cuda());
  T *dgamma = values<T>(result.gamma), *dbeta = values<T>(result.beta), *kept = behind.defined() ? values<T>(behind) : nullptr;
  launch(sums_kernel<T, V, relu>, g.grid(), kBlock, 0, stream(), in, g, kept, values<T>(partials), dgamma, dbeta);
  launched("batch_norm");
  const Tiling wide = tiling("batch_norm", shape, V, kThreads, 16 * multiprocessors(), kUnroll);
  T* dx = values<T>(result.input);
  if (relu && kept != nullptr) {  // what the first kernel has left saves reading y again
    in.dy = kept;
    launch(input_kernel<T, V, false>, wide.grid(), kThreads, 0, stream(), in, wide, dgamma, dbeta, dx);
  } else {
    launch(input_kernel<T, V, relu>, wide.grid(), kThreads, 0, stream(), in, wide, dgamma, dbeta, dx);
  }
  launched("batch_norm");
}

}  // namespace
}  // namespace cuda

BatchNormGradients CudaBackend::batch_norm_fused_backward(const Tensor& dy, const Tensor& y, const Tensor& x,
                                                          const Tensor& gamma, const Tensor& mean, const Tensor& variance,
                                                          double eps, bool relu, bool want_residual) {
  const Tensor gradient = cuda::as_channels_last(dy), input = cuda::as_channels_last(x);
  const Tensor output = relu ? cuda::as_channels_last(y) : Tensor{};
  BatchNormGradients result{cuda::empty_channels_last(x.shape(), x.dtype()),
                            Tensor::empty(gamma.shape(), x.dtype(), x.device()),
                            Tensor::empty(gamma.shape(), x.dtype(), x.device()),
                            relu && want_residual ? cuda::empty_channels_last(x.shape(), x.dtype()) : Tensor{}};
  dispatch_float("batch_norm", x.dtype(), [&]<class T>() {
    using namespace cuda;
    const T* py = relu ? values<T>(output) : nullptr;
    const Inputs<T> in{values<T>(gradient), py, values<T>(input), values<T>(gamma), values<T>(mean), values<T>(variance),
                       static_cast<T>(eps)};
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
  return batch_norm_fused_backward(dy, {}, x, gamma, mean, variance, eps, false, false);
}

}  // namespace heft
