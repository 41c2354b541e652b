// Pooling windows over channels-last images: which outputs and inputs belong together, in 32-bit arithmetic. Internal to cuda/.
#pragma once

#include <cstdint>

#include "core/backend.h"
#include "cuda/channels.cuh"

namespace heft::cuda {

// n / d for 0 <= n < 2^31 by a multiplication (Granlund and Montgomery 1994).
struct Divisor {
  unsigned d = 1, factor = 1, shift = 0;
  Divisor() = default;
  explicit Divisor(std::int64_t divisor) : d(static_cast<unsigned>(divisor)) {
    while (shift < 31 && (1u << shift) < d) ++shift;
    factor = static_cast<unsigned>((std::uint64_t{1} << 32) * ((std::uint64_t{1} << shift) - d) / d + 1);
  }
  __device__ int divide(int n) const {
    const auto u = static_cast<unsigned>(n);
    return static_cast<int>((__umulhi(u, factor) + u) >> shift);
  }
  // The quotient; n becomes the remainder.
  __device__ int split(int& n) const {
    const int q = divide(n);
    n -= q * static_cast<int>(d);
    return q;
  }
};

struct Windows {
  int channels;
  int height, width;          // of the images
  int out_height, out_width;  // of what the windows leave
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
  Divisor by_groups, by_width, by_height, by_out_width, by_out_height, by_stride_h, by_stride_w, by_kernel_w;
};

struct Range {
  int begin, end;
};
// The rows (or columns) of the image that window i lies on.
__device__ inline Range inputs_of(int i, int kernel, int stride, int padding, int extent) {
  const int at = i * stride - padding;
  return {at > 0 ? at : 0, at + kernel < extent ? at + kernel : extent};
}
// The windows that lie on row (or column) h of the image.
__device__ inline Range windows_of(int h, int kernel, int stride, const Divisor& by_stride, int padding, int out_extent) {
  const int last = by_stride.divide(h + padding), missed = h + padding - kernel;  // the window at `missed` ends just above h
  return {missed < 0 ? 0 : by_stride.divide(missed) + 1, last < out_extent ? last + 1 : out_extent};
}

inline Windows windows(const Shape& x, const Shape& y, const Pool2dGeometry& g, int vector) {
  const auto as_int = [](std::int64_t v) { return static_cast<int>(v); };
  return {as_int(x[1]),         as_int(x[2]),           as_int(x[3]),         as_int(y[2]),        as_int(y[3]),
          as_int(g.kernel[0]),  as_int(g.kernel[1]),    as_int(g.stride[0]),  as_int(g.stride[1]), as_int(g.padding[0]),
          as_int(g.padding[1]), Divisor(x[1] / vector), Divisor(x[3]),        Divisor(x[2]),       Divisor(y[3]),
          Divisor(y[2]),        Divisor(g.stride[0]),   Divisor(g.stride[1]), Divisor(g.kernel[1])};
}

inline Shape pooled(const Shape& x, const Pool2dGeometry& g) {
  return {x[0], x[1], (x[2] + 2 * g.padding[0] - g.kernel[0]) / g.stride[0] + 1,
          (x[3] + 2 * g.padding[1] - g.kernel[1]) / g.stride[1] + 1};
}

// Calls f(first image, images) for parts of the batch whose elements can be counted in 31 bits.
template <class F>
void for_each_part(const Shape& x, const Shape& y, F f) {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;
  const std::int64_t image = x[1] * std::max(x[2] * x[3], y[2] * y[3]);
  if (image > kMost) throw ValueError("pool2d", "expected images of fewer than 2^31 elements; got shape " + x.str());
  const std::int64_t step = kMost / image;
  for (std::int64_t n = 0; n < x[0]; n += step) f(n, static_cast<int>(std::min(step, x[0] - n)));
}

}  // namespace heft::cuda
