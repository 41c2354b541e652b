// Fewer pixels between more channels, in channels-last: a thread for V neighbouring values of the result.
#include "cuda/bf16.cuh"
#include "cuda/channels.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/layout.h"

namespace heft {
namespace cuda {
namespace {

struct Sizes {
  unsigned c, h, w, to_c, to_h, to_w, stride, before;
};

template <class T, int V>
void forward(const Sizes& s, const Tensor& x, Tensor& y) {
  const T* from = values<T>(x);
  T* to = values<T>(y);
  for_each("subsample", y.numel() / V, [=] __device__(std::int64_t e) {
    const unsigned groups = s.to_c / V, pixel = static_cast<unsigned>(e) / groups;
    const unsigned c = (static_cast<unsigned>(e) - pixel * groups) * V - s.before;  // huge before the first
    const unsigned line = pixel / s.to_w, column = pixel - line * s.to_w, image = line / s.to_h, row = line - image * s.to_h;
    Pack<T, V> kept = {};
    if (c < s.c) kept = load<V>(from + ((std::int64_t{image} * s.h + row * s.stride) * s.w + column * s.stride) * s.c + c);
    store(to + e * V, kept);
  });
}

template <class T, int V>
void backward(const Sizes& s, const Tensor& dy, Tensor& dx) {
  const T* from = values<T>(dy);
  T* to = values<T>(dx);
  for_each("subsample", dx.numel() / V, [=] __device__(std::int64_t e) {
    const unsigned groups = s.c / V, pixel = static_cast<unsigned>(e) / groups;
    const unsigned c = (static_cast<unsigned>(e) - pixel * groups) * V;
    const unsigned line = pixel / s.w, column = pixel - line * s.w, image = line / s.h, row = line - image * s.h;
    const unsigned r = row / s.stride, k = column / s.stride;
    Pack<T, V> kept = {};
    if (r * s.stride == row && k * s.stride == column)
      kept = load<V>(from + ((std::int64_t{image} * s.to_h + r) * s.to_w + k) * s.to_c + c + s.before);
    store(to + e * V, kept);
  });
}

Sizes sizes(const Shape& x, const Shape& y, std::int64_t stride, std::int64_t before) {
  const auto of = [](std::int64_t extent) { return static_cast<unsigned>(extent); };
  return {of(x[1]), of(x[2]), of(x[3]), of(y[1]), of(y[2]), of(y[3]), of(stride), of(before)};
}

// Whether channels can be taken four (f64: two) at a time.
template <class T>
bool in_packs(const Sizes& s, const Tensor& a, const Tensor& b) {
  return s.c % kWidest<T> == 0 && s.before % kWidest<T> == 0 && vectorised<T>(s.to_c, {a.raw(), b.raw()});
}

}  // namespace
}  // namespace cuda

Tensor CudaBackend::subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after) {
  cuda::check_shape(x.numel() < (std::int64_t{1} << 31), "subsample", "fewer than 2^31 elements; got " + x.shape().str());
  const auto kept = [stride](std::int64_t extent) { return (extent + stride - 1) / stride; };
  const std::int64_t channels = before + x.size(1) + after;
  const Tensor input = channels % 8 == 0 ? cuda::as_image(x) : cuda::as_channels_last(x);
  Tensor y = cuda::empty_kept_like({x.size(0), channels, kept(x.size(2)), kept(x.size(3))}, input);
  cuda::check_shape(y.numel() < (std::int64_t{1} << 31), "subsample", "fewer than 2^31 elements; got " + y.shape().str());
  const cuda::Sizes s = cuda::sizes(x.shape(), y.shape(), stride, before);
  cuda::dispatch_image("subsample", input, [&]<class T>() {
    if (cuda::in_packs<T>(s, input, y)) cuda::forward<T, cuda::kWidest<T>>(s, input, y);
    else cuda::forward<T, 1>(s, input, y);
  });
  return y;
}

Tensor CudaBackend::subsample_backward(const Tensor& dy, const Shape& x_shape, std::int64_t stride, std::int64_t before) {
  const Tensor gradient = x_shape[1] % 8 == 0 ? cuda::as_image(dy) : cuda::as_channels_last(dy);
  Tensor dx = cuda::empty_kept_like(x_shape, gradient);
  const cuda::Sizes s = cuda::sizes(x_shape, dy.shape(), stride, before);
  cuda::dispatch_image("subsample", gradient, [&]<class T>() {
    if (cuda::in_packs<T>(s, gradient, dx)) cuda::backward<T, cuda::kWidest<T>>(s, gradient, dx);
    else cuda::backward<T, 1>(s, gradient, dx);
  });
  return dx;
}

}  // namespace heft
