// Max pooling with images in lanes.
#include <algorithm>
#include <cstring>
#include <limits>

#include "core/cpu/lanes.h"
#include "core/cpu/layout.h"
#include "core/cpu/simd.h"
#include "core/ops.h"
#include "core/parallel.h"

namespace heft::lanes {
namespace {

// Planes are single channels of 16 images. `where` holds the number of the element among those of its window that lie inside
// the image, as a float.
struct Pool {
  Pool2dGeometry g;
  std::int64_t height, width, out_height, out_width;

  std::int64_t in() const { return height * width * kLanes; }
  std::int64_t out() const { return out_height * out_width * kLanes; }
};

struct Window {
  HEFT_SIMD Window(const Pool& p, std::int64_t i, std::int64_t j)
      : top(std::max<std::int64_t>(i * p.g.stride[0] - p.g.padding[0], 0)),
        bottom(std::min(i * p.g.stride[0] - p.g.padding[0] + p.g.kernel[0], p.height)),
        left(std::max<std::int64_t>(j * p.g.stride[1] - p.g.padding[1], 0)),
        right(std::min(j * p.g.stride[1] - p.g.padding[1] + p.g.kernel[1], p.width)) {}
  std::int64_t top, bottom, left, right;
};

struct TakeLargest {
  template <int W>
  HEFT_SIMD static void run(const Pool* pool, const float* x, float* y, float* where, std::int64_t begin, std::int64_t end) {
    // A NaN wins, the last of several. It goes its own way: g++ 12 takes choices that depend on one another apart, lane by
    // lane.
    using V = simd::Vec<W>;
    for (std::int64_t row = begin; row < end; ++row) {  // of all planes of y
      const float* plane = x + row / pool->out_height * pool->in();
      for (std::int64_t j = 0; j < pool->out_width; ++j) {
        const Window window(*pool, row % pool->out_height, j);
        for (std::int64_t part = 0; part < kLanes; part += W) {
          V best = V{} - std::numeric_limits<float>::infinity(), place = {}, number = {}, nan = {}, nan_place = {};
          for (std::int64_t h = window.top; h < window.bottom; ++h)
            for (std::int64_t w = window.left; w < window.right; ++w, number += 1.0F) {
              const V value = simd::load<W>(plane + (h * pool->width + w) * kLanes + part);
              place = value > best ? number : place;
              best = value > best ? value : best;
              nan_place = value == value ? nan_place : number;
              nan = value == value ? nan : value;
            }
          place = nan == nan ? place : nan_place;
          best = nan == nan ? best : nan;
          const std::int64_t at = (row * pool->out_width + j) * kLanes + part;
          simd::store<W>(y + at, best);
          simd::store<W>(where + at, place);
        }
      }
    }
  }
};

struct GiveToLargest {
  template <int W>
  HEFT_SIMD static void run(const Pool* pool, const float* dy, const float* where, float* dx, std::int64_t begin,
                            std::int64_t end) {
    using V = simd::Vec<W>;
    std::memset(dx + begin * pool->in(), 0, static_cast<std::size_t>((end - begin) * pool->in()) * sizeof(float));
    for (std::int64_t row = begin * pool->out_height; row < end * pool->out_height; ++row) {
      float* plane = dx + row / pool->out_height * pool->in();
      for (std::int64_t j = 0; j < pool->out_width; ++j) {
        const Window window(*pool, row % pool->out_height, j);
        for (std::int64_t part = 0; part < kLanes; part += W) {
          const std::int64_t at = (row * pool->out_width + j) * kLanes + part;
          const V gradient = simd::load<W>(dy + at), place = simd::load<W>(where + at);
          V number = {};
          for (std::int64_t h = window.top; h < window.bottom; ++h)
            for (std::int64_t w = window.left; w < window.right; ++w, number += 1.0F) {
              float* to = plane + (h * pool->width + w) * kLanes + part;
              simd::store<W>(to, simd::load<W>(to) + (place == number ? gradient : V{}));
            }
        }
      }
    }
  }
};

constexpr std::int64_t kGrain = 32768;  // elements of x below which a second thread costs more than it brings

Pool pool_of(const Shape& x, const Shape& y, const Pool2dGeometry& g) { return {g, x[2], x[3], y[2], y[3]}; }

}  // namespace

MaxPoolResult max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  const Shape shape = pool2d_shape(x.shape(), geometry, "max_pool2d");
  const Pool pool = pool_of(x.shape(), shape, geometry);
  MaxPoolResult result{Tensor::empty(shape, DType::f32, Device::cpu(), inside(shape)), {}};
  result.where = Tensor::empty_like(result.output);
  const auto* from = static_cast<const float*>(x.raw());
  auto *y = static_cast<float*>(result.output.mutable_raw()), *where = static_cast<float*>(result.where.mutable_raw());
  parallel_for(x.buffer_elements() / pool.in() * shape[2], std::max<std::int64_t>(kGrain * shape[2] / pool.in(), 1),
               [=, &pool](std::int64_t begin, std::int64_t end) { simd::run<TakeLargest>(&pool, from, y, where, begin, end); });
  return result;
}

Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Shape& x_shape, const Pool2dGeometry& geometry) {
  const Pool pool = pool_of(x_shape, dy.shape(), geometry);
  const Bordered gradient = bordered(dy, 0, 0);
  Tensor dx = Tensor::empty(x_shape, DType::f32, Device::cpu(), inside(x_shape));
  const auto* chosen = static_cast<const float*>(where.raw());
  auto* to = static_cast<float*>(dx.mutable_raw());
  parallel_for(dx.buffer_elements() / pool.in(), std::max<std::int64_t>(kGrain / pool.in(), 1),
               [=, &pool, &gradient](std::int64_t begin, std::int64_t end) {
                 simd::run<GiveToLargest>(&pool, gradient.data, chosen, to, begin, end);
               });
  return dx;
}

}  // namespace heft::lanes
