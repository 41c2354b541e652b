// Max pooling, and its gradient: every input gathers from the windows on it, so nothing is added out of order. `where` holds
// the winner's number within its window, row by row, in channels-last like the output.
#include "cuda/bf16.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/layout.h"
#include "cuda/windows.cuh"

namespace heft {
namespace cuda {
namespace {

template <class T, class Index, int V>
__global__ void __launch_bounds__(kThreads) forward_kernel(const T* x, Windows s, int threads, T* y, Index* where) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= threads) return;
  int group = i;
  int w = s.by_groups.split(group);
  int h = s.by_out_width.split(w);
  const int n = s.by_out_height.split(h);
  const int top = h * s.stride_h - s.pad_h, left = w * s.stride_w - s.pad_w;
  const Range rows = inputs_of(h, s.kernel_h, s.stride_h, s.pad_h, s.height);
  const Range columns = inputs_of(w, s.kernel_w, s.stride_w, s.pad_w, s.width);
  const T* image = x + std::int64_t{n} * s.height * s.width * s.channels + group * V;
  Pack<T, V> best = load<V>(image + (rows.begin * s.width + columns.begin) * s.channels);
  Pack<Index, V> at;
#pragma unroll
  for (int j = 0; j < V; ++j) at.v[j] = static_cast<Index>((rows.begin - top) * s.kernel_w + columns.begin - left);
  for (int r = rows.begin; r < rows.end; ++r)
#pragma unroll 4
    for (int c = columns.begin; c < columns.end; ++c) {
      const Pack<T, V> p = load<V>(image + (r * s.width + c) * s.channels);
      const auto here = static_cast<Index>((r - top) * s.kernel_w + c - left);
#pragma unroll
      for (int j = 0; j < V; ++j)
        if (const auto v = Compute<T>(p.v[j]), w = Compute<T>(best.v[j]); v > w || (v != v && w == w))
          best.v[j] = p.v[j], at.v[j] = here;
    }
  store(y + std::int64_t{i} * V, best);
  store(where + std::int64_t{i} * V, at);
}

template <class T, class Index, int V>
__global__ void __launch_bounds__(kThreads) gradient_kernel(const T* dy, const Index* where, Windows s, int threads, T* dx) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= threads) return;
  int group = i;
  int w = s.by_groups.split(group);
  int h = s.by_width.split(w);
  const int n = s.by_height.split(h);
  const Range rows = windows_of(h, s.kernel_h, s.stride_h, s.by_stride_h, s.pad_h, s.out_height);
  const Range columns = windows_of(w, s.kernel_w, s.stride_w, s.by_stride_w, s.pad_w, s.out_width);
  const std::int64_t image = std::int64_t{n} * s.out_height * s.out_width * s.channels + group * V;
  Compute<T> sum[V] = {};
  for (int r = rows.begin; r < rows.end; ++r)
    for (int c = columns.begin; c < columns.end; ++c) {
      const std::int64_t o = image + (r * s.out_width + c) * s.channels;
      const Pack<T, V> g = load<V>(dy + o);
      const Pack<Index, V> at = load<V>(where + o);
      const int here = (h + s.pad_h - r * s.stride_h) * s.kernel_w + w + s.pad_w - c * s.stride_w;
#pragma unroll
      for (int j = 0; j < V; ++j) sum[j] += at.v[j] == here ? Compute<T>(g.v[j]) : Compute<T>(0);
    }
  store(dx + std::int64_t{i} * V, pack<T>(sum));
}

template <class T, class Index, int V>
void forward(const Tensor& x, const Pool2dGeometry& geometry, MaxPoolResult& result) {
  const Shape &from = x.shape(), &to = result.output.shape();
  const Windows s = windows(from, to, geometry, V);
  const T* px = values<T>(x);
  T* py = values<T>(result.output);
  Index* where = values<Index>(result.where);
  for_each_part(from, to, [&](std::int64_t n, int images) {
    const std::int64_t in = n * from[1] * from[2] * from[3], out = n * to[1] * to[2] * to[3];
    const int threads = images * s.out_height * s.out_width * (s.channels / V);
    launch(forward_kernel<T, Index, V>, (threads - 1) / kThreads + 1, kThreads, 0, stream(), px + in, s, threads, py + out,
           where + out);
    launched("max_pool2d");
  });
}

template <class T, class Index, int V>
void backward(const Tensor& dy, const Tensor& where, const Pool2dGeometry& geometry, Tensor& dx) {
  const Shape &from = dx.shape(), &to = dy.shape();
  const Windows s = windows(from, to, geometry, V);
  const T* pdy = values<T>(dy);
  const Index* at = values<Index>(where);
  T* pdx = values<T>(dx);
  for_each_part(from, to, [&](std::int64_t n, int images) {
    const std::int64_t in = n * from[1] * from[2] * from[3], out = n * to[1] * to[2] * to[3];
    const int threads = images * s.height * s.width * (s.channels / V);
    launch(gradient_kernel<T, Index, V>, (threads - 1) / kThreads + 1, kThreads, 0, stream(), pdy + out, at + out, s, threads,
           pdx + in);
    launched("max_pool2d");
  });
}

// Numbers within a window fit in a byte, but for windows of more than 256.
bool small(const Pool2dGeometry& g) { return g.kernel[0] * g.kernel[1] <= 256; }

}  // namespace
}  // namespace cuda

MaxPoolResult CudaBackend::max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  using namespace cuda;
  const Tensor input = as_image(x);
  const Shape out = pooled(x.shape(), geometry);
  MaxPoolResult result{empty_kept_like(out, input), empty_channels_last(out, small(geometry) ? DType::u8 : DType::i32)};
  dispatch_image("max_pool2d", input, [&]<class T>() {
    const bool wide = vectorised<T>(x.size(1), {input.raw()});
    if (small(geometry)) {
      if (wide) forward<T, std::uint8_t, kWidest<T>>(input, geometry, result);
      else forward<T, std::uint8_t, 1>(input, geometry, result);
    } else {
      if (wide) forward<T, std::int32_t, kWidest<T>>(input, geometry, result);
      else forward<T, std::int32_t, 1>(input, geometry, result);
    }
  });
  return result;
}

Tensor CudaBackend::max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x,
                                        const Pool2dGeometry& geometry) {
  using namespace cuda;
  const Tensor gradient = kept_like(dy, x);
  Tensor dx = empty_kept_like(x.shape(), x);
  dispatch_image("max_pool2d", gradient, [&]<class T>() {
    const bool wide = vectorised<T>(dy.size(1), {gradient.raw()});
    if (small(geometry)) {
      if (wide) backward<T, std::uint8_t, kWidest<T>>(gradient, where, geometry, dx);
      else backward<T, std::uint8_t, 1>(gradient, where, geometry, dx);
    } else {
      if (wide) backward<T, std::int32_t, kWidest<T>>(gradient, where, geometry, dx);
      else backward<T, std::int32_t, 1>(gradient, where, geometry, dx);
    }
  });
  return dx;
}

}  // namespace heft
