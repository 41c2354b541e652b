#include <cstring>
#include <utility>

#include "core/cpu/simd.h"
#include "core/cpu/small.h"
#include "core/ops.h"

namespace heft::small {
namespace {

constexpr std::int64_t kFewElements = 32768;
constexpr Pool2dGeometry kHalves{};  // 2 x 2, stride 2, no padding

template <int W>
struct Numbers {
  typedef std::int32_t Int __attribute__((vector_size(W * sizeof(std::int32_t))));
};

// W windows of the rows `top` and `bottom`, from the first on.
struct Halve {
  template <int W, std::size_t... K>
  HEFT_SIMD static simd::Vec<W> every_second(const float* x, std::index_sequence<K...>) {
    const simd::Vec<W> low = simd::load<W>(x), high = simd::load<W>(x + W);
    return __builtin_shufflevector(low, high, static_cast<int>(2 * K)...);
  }
  template <int W, std::size_t... K>
  HEFT_SIMD static simd::Vec<W> every_other(const float* x, std::index_sequence<K...>) {
    const simd::Vec<W> low = simd::load<W>(x), high = simd::load<W>(x + W);
    return __builtin_shufflevector(low, high, static_cast<int>(2 * K + 1)...);
  }
  template <int W>
  HEFT_SIMD static void windows(const float* top, const float* bottom, float* y, std::int32_t* where) {
    using Int = typename Numbers<W>::Int;
    constexpr std::make_index_sequence<W> lanes;
    simd::Vec<W> best = every_second<W>(top, lanes);
    Int at = {};
    const auto meet = [&](const simd::Vec<W>& v, int number) {
      const Int taken = ~(v <= best) & (best == best);
      best = taken ? v : best;
      at = taken ? Int{} + number : at;
    };
    meet(every_other<W>(top, lanes), 1);
    meet(every_second<W>(bottom, lanes), 2);
    meet(every_other<W>(bottom, lanes), 3);
    simd::store<W>(y, best);
    std::memcpy(where, &at, sizeof at);
  }
  template <int W>
  HEFT_SIMD static void row(const float* top, const float* bottom, std::int64_t& j, std::int64_t n, float* y,
                            std::int32_t* where) {
    for (; j + W <= n; j += W) windows<W>(top + 2 * j, bottom + 2 * j, y + j, where + j);
    if constexpr (W > 4) row<W / 2>(top, bottom, j, n, y, where);
  }

  // x: `planes` of height x width; y: half of both, rounded down.
  template <int W>
  HEFT_SIMD static void run(const float* x, std::int64_t planes, std::int64_t height, std::int64_t width, float* y,
                            std::int32_t* where) {
    const std::int64_t rows = height / 2, columns = width / 2;
    for (std::int64_t plane = 0; plane < planes; ++plane)
      for (std::int64_t i = 0; i < rows; ++i, y += columns, where += columns) {
        const float *top = x + (plane * height + 2 * i) * width, *bottom = top + width;
        std::int64_t j = 0;
        row<W>(top, bottom, j, columns, y, where);
        for (; j < columns; ++j) {
          const float window[4] = {top[2 * j], top[2 * j + 1], bottom[2 * j], bottom[2 * j + 1]};
          int at = 0;
          for (int k = 1; k < 4; ++k)
            if (!(window[k] <= window[at]) && window[at] == window[at]) at = k;
          y[j] = window[at], where[j] = at;
        }
      }
  }
};

}  // namespace

bool halves(const Tensor& x, const Pool2dGeometry& g) {
  return !x.is_opaque() && x.numel() <= kFewElements && g.kernel == kHalves.kernel && g.stride == kHalves.stride &&
         g.padding == kHalves.padding;
}

MaxPoolResult max_pool2d(const Tensor& x) {
  const Shape shape = pool2d_shape(x.shape(), kHalves, "max_pool2d");
  MaxPoolResult result{Tensor::empty(shape), Tensor::empty(shape, DType::i32)};
  const Tensor rows = x.contiguous();
  simd::run<Halve>(rows.data<float>(), x.size(0) * x.size(1), x.size(2), x.size(3), result.output.mutable_data<float>(),
                   result.where.mutable_data<std::int32_t>());
  return result;
}

Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Shape& x_shape) {
  Tensor dx = Tensor::zeros(x_shape);
  const Tensor rows = dy.contiguous();
  const float* from = rows.data<float>();
  const std::int32_t* at = where.data<std::int32_t>();
  float* to = dx.mutable_data<float>();
  const std::int64_t height = x_shape[2], width = x_shape[3];
  for (std::int64_t plane = 0; plane < x_shape[0] * x_shape[1]; ++plane, to += height * width)
    for (std::int64_t i = 0; i < height / 2; ++i)
      for (std::int64_t j = 0; j < width / 2; ++j, ++from, ++at) to[(2 * i + *at / 2) * width + 2 * j + *at % 2] = *from;
  return dx;
}

}  // namespace heft::small
