#include "core/parallel.h"
#include "core/reference/loops.h"
#include "core/reference/reference_backend.h"

namespace heft {
namespace {

struct Window {
  std::int64_t h0, h1, w0, w1;  // the part inside the image: never empty, as padding is at most half the kernel
};

Shape output_shape(const Shape& x, const Pool2dGeometry& g) {
  return {x[0], x[1], (x[2] + 2 * g.padding[0] - g.kernel[0]) / g.stride[0] + 1,
          (x[3] + 2 * g.padding[1] - g.kernel[1]) / g.stride[1] + 1};
}

// Calls f(plane, output index, window) for every output, planes in parallel.
template <class F>
void for_each_window(const Shape& x, const Shape& y, const Pool2dGeometry& g, F f) {
  const std::int64_t work = y[2] * y[3] * g.kernel[0] * g.kernel[1];
  parallel_for(x[0] * x[1], reference::grain(work), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t plane = begin; plane < end; ++plane)
      for (std::int64_t i = 0; i < y[2]; ++i)
        for (std::int64_t j = 0; j < y[3]; ++j) {
          const std::int64_t h = i * g.stride[0] - g.padding[0], w = j * g.stride[1] - g.padding[1];
          f(plane, (plane * y[2] + i) * y[3] + j,
            Window{std::max<std::int64_t>(h, 0), std::min(h + g.kernel[0], x[2]), std::max<std::int64_t>(w, 0),
                   std::min(w + g.kernel[1], x[3])});
        }
  });
}

}  // namespace

MaxPoolResult ReferenceBackend::max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  const Tensor input = plain(x);
  const Shape shape = x.shape(), out = output_shape(shape, geometry);
  MaxPoolResult result{Tensor::empty(out, x.dtype()), Tensor::empty(out, DType::i64)};
  dispatch_float("max_pool2d", x.dtype(), [&]<class T>() {
    const T* from = input.data<T>();
    T* top = result.output.mutable_data<T>();
    std::int64_t* where = result.where.mutable_data<std::int64_t>();
    for_each_window(shape, out, geometry, [=](std::int64_t plane, std::int64_t o, const Window& window) {
      const T* in = from + plane * shape[2] * shape[3];
      std::int64_t best = window.h0 * shape[3] + window.w0;
      for (std::int64_t h = window.h0; h < window.h1; ++h)
        for (std::int64_t at = h * shape[3] + window.w0; at < h * shape[3] + window.w1; ++at)
          if (in[at] > in[best] || (in[at] != in[at] && in[best] == in[best])) best = at;
      top[o] = in[best];
      where[o] = best;
    });
  });
  return result;
}

Tensor ReferenceBackend::max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x, const Pool2dGeometry&) {
  const Tensor gradient = plain(dy), winners = as(plain(where), DType::i64);
  Tensor dx = Tensor::zeros(x.shape(), dy.dtype());
  const std::int64_t in_plane = x.size(2) * x.size(3), out_plane = dy.size(2) * dy.size(3);
  dispatch_float("max_pool2d", dy.dtype(), [&]<class T>() {
    const T* from = gradient.data<T>();
    const std::int64_t* at = winners.data<std::int64_t>();
    T* to = dx.mutable_data<T>();
    parallel_for(x.size(0) * x.size(1), reference::grain(out_plane), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t plane = begin; plane < end; ++plane)
        for (std::int64_t o = plane * out_plane; o < (plane + 1) * out_plane; ++o) to[plane * in_plane + at[o]] += from[o];
    });
  });
  return dx;
}

Tensor ReferenceBackend::avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  const Tensor input = plain(x);
  const Shape shape = x.shape(), out = output_shape(shape, geometry);
  const double count = static_cast<double>(geometry.kernel[0] * geometry.kernel[1]);
  Tensor y = Tensor::empty(out, x.dtype());
  dispatch_float("avg_pool2d", x.dtype(), [&]<class T>() {
    const T* from = input.data<T>();
    T* to = y.mutable_data<T>();
    for_each_window(shape, out, geometry, [=](std::int64_t plane, std::int64_t o, const Window& window) {
      double sum = 0;
      for (std::int64_t h = window.h0; h < window.h1; ++h)
        for (std::int64_t w = window.w0; w < window.w1; ++w)
          sum += static_cast<double>(from[(plane * shape[2] + h) * shape[3] + w]);
      to[o] = static_cast<T>(sum / count);
    });
  });
  return y;
}

Tensor ReferenceBackend::avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry) {
  const Tensor gradient = as_double(dy);
  const Shape shape = x.shape();
  const double count = static_cast<double>(geometry.kernel[0] * geometry.kernel[1]);
  Tensor dx = Tensor::zeros(shape, DType::f64);
  const double* from = gradient.data<double>();
  double* to = dx.mutable_data<double>();
  for_each_window(shape, dy.shape(), geometry, [=](std::int64_t plane, std::int64_t o, const Window& window) {
    for (std::int64_t h = window.h0; h < window.h1; ++h)
      for (std::int64_t w = window.w0; w < window.w1; ++w) to[(plane * shape[2] + h) * shape[3] + w] += from[o] / count;
  });
  return as(dx, dy.dtype());
}

}  // namespace heft
