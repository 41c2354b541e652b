// Average pooling, and its gradient: every input gathers from the windows on it, so nothing is added out of order.
#include "cuda/bf16.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/layout.h"
#include "cuda/windows.cuh"

namespace heft {
namespace cuda {
namespace {

// A thread an output, for small windows.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) small_kernel(const T* x, Windows s, int threads, Compute<T> share, T* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= threads) return;
  int group = i;
  int w = s.by_groups.split(group);
  int h = s.by_out_width.split(w);
  const int n = s.by_out_height.split(h);
  const Range rows = inputs_of(h, s.kernel_h, s.stride_h, s.pad_h, s.height);
  const Range columns = inputs_of(w, s.kernel_w, s.stride_w, s.pad_w, s.width);
  const T* image = x + std::int64_t{n} * s.height * s.width * s.channels + group * V;
  Compute<T> sum[V] = {};
  for (int r = rows.begin; r < rows.end; ++r)
#pragma unroll 4
    for (int c = columns.begin; c < columns.end; ++c) {
      const Pack<T, V> p = load<V>(image + (r * s.width + c) * s.channels);
#pragma unroll
      for (int j = 0; j < V; ++j) sum[j] += Compute<T>(p.v[j]);
    }
#pragma unroll
  for (int j = 0; j < V; ++j) sum[j] *= share;
  store(y + std::int64_t{i} * V, pack<T>(sum));
}

// A block an output pixel, for large windows: `side` threads along the channels, those below them share the window.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) large_kernel(const T* x, Windows s, int side, Compute<T> share, T* y) {
  __shared__ Compute<T> shared[V][kThreads];
  const int t = static_cast<int>(threadIdx.x), height = kThreads / side, row = t / side;
  const int channel = (static_cast<int>(blockIdx.y) * side + t % side) * V;
  int w = static_cast<int>(blockIdx.x);
  int h = s.by_out_width.split(w);
  const int n = s.by_out_height.split(h);
  const Range columns = inputs_of(w, s.kernel_w, s.stride_w, s.pad_w, s.width);
  const int top = h * s.stride_h - s.pad_h, left = w * s.stride_w - s.pad_w;
  const T* image = x + std::int64_t{n} * s.height * s.width * s.channels + channel;
  Compute<T> sum[V] = {};
  if (channel < s.channels)
#pragma unroll 4
    for (int k = row; k < s.kernel_h * s.kernel_w; k += height) {
      int c = k;
      const int r = s.by_kernel_w.split(c) + top;
      c += left;
      if (r < 0 || r >= s.height || c < columns.begin || c >= columns.end) continue;
      const Pack<T, V> p = load<V>(image + (r * s.width + c) * s.channels);
#pragma unroll
      for (int j = 0; j < V; ++j) sum[j] += Compute<T>(p.v[j]);
    }
#pragma unroll
  for (int j = 0; j < V; ++j) shared[j][t] = sum[j];
  __syncthreads();
  for (int step = height / 2; step > 0; step /= 2) {
    if (row < step)
#pragma unroll
      for (int j = 0; j < V; ++j) shared[j][t] = sum[j] += shared[j][t + step * side];
    __syncthreads();
  }
  if (row > 0 || channel >= s.channels) return;
#pragma unroll
  for (int j = 0; j < V; ++j) sum[j] *= share;
  store(y + std::int64_t{blockIdx.x} * s.channels + channel, pack<T>(sum));
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads) gradient_kernel(const T* dy, Windows s, int threads, Compute<T> share, T* dx) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= threads) return;
  int group = i;
  int w = s.by_groups.split(group);
  int h = s.by_width.split(w);
  const int n = s.by_height.split(h);
  const Range rows = windows_of(h, s.kernel_h, s.stride_h, s.by_stride_h, s.pad_h, s.out_height);
  const Range columns = windows_of(w, s.kernel_w, s.stride_w, s.by_stride_w, s.pad_w, s.out_width);
  const T* image = dy + std::int64_t{n} * s.out_height * s.out_width * s.channels + group * V;
  Compute<T> sum[V] = {};
  for (int r = rows.begin; r < rows.end; ++r)
    for (int c = columns.begin; c < columns.end; ++c) {
      const Pack<T, V> p = load<V>(image + (r * s.out_width + c) * s.channels);
#pragma unroll
      for (int j = 0; j < V; ++j) sum[j] += Compute<T>(p.v[j]);
    }
#pragma unroll
  for (int j = 0; j < V; ++j) sum[j] *= share;
  store(dx + std::int64_t{i} * V, pack<T>(sum));
}

template <class T, int V>
void forward(const Tensor& x, const Pool2dGeometry& geometry, Tensor& y) {
  constexpr std::int64_t kLarge = 16;  // elements of a window that are worth sharing
  const Shape &from = x.shape(), &to = y.shape();
  const Windows s = windows(from, to, geometry, V);
  const std::int64_t area = geometry.kernel[0] * geometry.kernel[1];
  const auto share = Compute<T>(1) / static_cast<Compute<T>>(area);
  const T* px = values<T>(x);
  T* py = values<T>(y);
  for_each_part(from, to, [&](std::int64_t n, int images) {
    const std::int64_t in = n * from[1] * from[2] * from[3], out = n * to[1] * to[2] * to[3];
    const int pixels = images * s.out_height * s.out_width, groups = s.channels / V;
    int side = 1;
    while (side < groups && side < 32) side *= 2;
    const unsigned tiles = static_cast<unsigned>((groups + side - 1) / side);
    if (area >= kLarge && tiles < 65536) {
      launch(large_kernel<T, V>, dim3(static_cast<unsigned>(pixels), tiles), kThreads, 0, stream(), px + in, s, side, share,
             py + out);
    } else {
      const int threads = pixels * groups;
      launch(small_kernel<T, V>, (threads - 1) / kThreads + 1, kThreads, 0, stream(), px + in, s, threads, share, py + out);
    }
    launched("avg_pool2d");
  });
}

template <class T, int V>
void backward(const Tensor& dy, const Pool2dGeometry& geometry, Tensor& dx) {
  const Shape &from = dx.shape(), &to = dy.shape();
  const Windows s = windows(from, to, geometry, V);
  const auto share = Compute<T>(1) / static_cast<Compute<T>>(geometry.kernel[0] * geometry.kernel[1]);
  const T* pdy = values<T>(dy);
  T* pdx = values<T>(dx);
  for_each_part(from, to, [&](std::int64_t n, int images) {
    const std::int64_t in = n * from[1] * from[2] * from[3], out = n * to[1] * to[2] * to[3];
    const int threads = images * s.height * s.width * (s.channels / V);
    launch(gradient_kernel<T, V>, (threads - 1) / kThreads + 1, kThreads, 0, stream(), pdy + out, s, threads, share, pdx + in);
    launched("avg_pool2d");
  });
}

}  // namespace
}  // namespace cuda

Tensor CudaBackend::avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  using namespace cuda;
  const Tensor input = as_image(x);
  Tensor y = empty_kept_like(pooled(x.shape(), geometry), input);
  dispatch_image("avg_pool2d", input, [&]<class T>() {
    if (vectorised<T>(x.size(1), {input.raw()})) forward<T, kWidest<T>>(input, geometry, y);
    else forward<T, 1>(input, geometry, y);
  });
  return y;
}

Tensor CudaBackend::avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry) {
  using namespace cuda;
  const Tensor gradient = kept_like(dy, x);
  Tensor dx = empty_kept_like(x.shape(), x);
  dispatch_image("avg_pool2d", gradient, [&]<class T>() {
    if (vectorised<T>(dy.size(1), {gradient.raw()})) backward<T, kWidest<T>>(gradient, geometry, dx);
    else backward<T, 1>(gradient, geometry, dx);
  });
  return dx;
}

}  // namespace heft
