// Fewer pixels between more channels, in channels-last: a thread a value of the result.
#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"
#include "cuda/layout.h"

namespace heft {
namespace {

struct Sizes {
  unsigned c, h, w, to_c, to_h, to_w, stride, before;
};

template <class T>
void forward(const Sizes& s, const Tensor& x, Tensor& y) {
  const T* from = cuda::values<T>(x);
  T* to = cuda::values<T>(y);
  cuda::for_each("subsample", y.numel(), [=] __device__(std::int64_t e) {
    const unsigned pixel = static_cast<unsigned>(e) / s.to_c;
    const unsigned c = static_cast<unsigned>(e) - pixel * s.to_c - s.before;  // huge before the first
    const unsigned column = pixel % s.to_w, row = pixel / s.to_w % s.to_h, image = pixel / s.to_w / s.to_h;
    to[e] = c < s.c ? from[((std::int64_t{image} * s.h + row * s.stride) * s.w + column * s.stride) * s.c + c] : T(0);
  });
}

template <class T>
void backward(const Sizes& s, const Tensor& dy, Tensor& dx) {
  const T* from = cuda::values<T>(dy);
  T* to = cuda::values<T>(dx);
  cuda::for_each("subsample", dx.numel(), [=] __device__(std::int64_t e) {
    const unsigned pixel = static_cast<unsigned>(e) / s.c, c = static_cast<unsigned>(e) - pixel * s.c;
    const unsigned column = pixel % s.w, row = pixel / s.w % s.h, image = pixel / s.w / s.h;
    to[e] = row % s.stride == 0 && column % s.stride == 0
                ? from[((std::int64_t{image} * s.to_h + row / s.stride) * s.to_w + column / s.stride) * s.to_c + c + s.before]
                : T(0);
  });
}

Sizes sizes(const Shape& x, const Shape& y, std::int64_t stride, std::int64_t before) {
  const auto of = [](std::int64_t extent) { return static_cast<unsigned>(extent); };
  return {of(x[1]), of(x[2]), of(x[3]), of(y[1]), of(y[2]), of(y[3]), of(stride), of(before)};
}

}  // namespace

Tensor CudaBackend::subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after) {
  const auto kept = [stride](std::int64_t extent) { return (extent + stride - 1) / stride; };
  cuda::check_shape(x.numel() < (std::int64_t{1} << 31), "subsample", "fewer than 2^31 elements; got " + x.shape().str());
  const Tensor input = cuda::as_channels_last(x);
  Tensor y = cuda::empty_channels_last({x.size(0), before + x.size(1) + after, kept(x.size(2)), kept(x.size(3))}, x.dtype());
  const Sizes s = sizes(x.shape(), y.shape(), stride, before);
  dispatch_float("subsample", x.dtype(), [&]<class T>() { forward<T>(s, input, y); });
  return y;
}

Tensor CudaBackend::subsample_backward(const Tensor& dy, const Shape& x_shape, std::int64_t stride, std::int64_t before) {
  const Tensor gradient = cuda::as_channels_last(dy);
  Tensor dx = cuda::empty_channels_last(x_shape, dy.dtype());
  const Sizes s = sizes(x_shape, dy.shape(), stride, before);
  dispatch_float("subsample", dy.dtype(), [&]<class T>() { backward<T>(s, gradient, dx); });
  return dx;
}

}  // namespace heft
