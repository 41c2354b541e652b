#include "core/cpu/small.h"

#include <algorithm>

#include "core/cpu/simd.h"
#include "core/parallel.h"

namespace heft::small {
namespace {

struct Relu {
  template <int W>
  HEFT_SIMD static void run(float* y, std::int64_t n) {
    std::int64_t i = 0;
    for (; i + W <= n; i += W) simd::store<W>(y + i, simd::relu<W>(simd::load<W>(y + i)));
    for (; i < n; ++i) y[i] = y[i] < 0 ? 0 : y[i];
  }
};

struct Linear {
  const float *x, *weight, *bias;  // (N, K), (M, K), (M) or null
  float* y;                        // (N, M)
  std::int64_t n, m, k;
  bool relu;
};

// Rows of the weight are read side by side, so that many loads are on their way at once.
struct DotProducts {
  template <int W, int Rows>
  HEFT_SIMD static void rows(const Linear& l, const float* x, std::int64_t row, float* y) {
    using V = simd::Vec<W>;
    const float* weight = l.weight + row * l.k;
    V sums[Rows] = {};
    std::int64_t i = 0;
    for (; i + W <= l.k; i += W) {
      const V in = simd::load<W>(x + i);
      for (int r = 0; r < Rows; ++r) sums[r] += in * simd::load<W>(weight + r * l.k + i);
    }
    for (int r = 0; r < Rows; ++r) {
      float sum = simd::sum<W>(l.bias ? l.bias[row + r] : 0.0F, sums[r]);
      for (std::int64_t rest = i; rest < l.k; ++rest) sum += x[rest] * weight[r * l.k + rest];
      y[row + r] = l.relu && sum < 0 ? 0 : sum;
    }
  }

  static constexpr std::int64_t kRows = 8;

  template <int W>
  HEFT_SIMD static void run(const Linear* l, std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kRows, last = std::min(first + kRows, l->m);
      for (std::int64_t n = 0; n < l->n; ++n) {
        const float* x = l->x + n * l->k;
        float* y = l->y + n * l->m;
        if (last - first == kRows) rows<W, kRows>(*l, x, first, y);
        else
          for (std::int64_t row = first; row < last; ++row) rows<W, 1>(*l, x, row, y);
      }
    }
  }
};

constexpr std::int64_t kGrain = 32768;  // products below which a second thread costs more than it brings

}  // namespace

void relu_in_place(Tensor& y) {
  auto* values = static_cast<float*>(y.mutable_raw());
  parallel_for(y.buffer_elements(), kGrain,
               [values](std::int64_t begin, std::int64_t end) { simd::run<Relu>(values + begin, end - begin); });
}

void add_groups(float* sums, std::int64_t groups, std::int64_t size) {
  parallel_for(size, 16384, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t g = 1; g < groups; ++g)
      for (std::int64_t i = begin; i < end; ++i) sums[i] += sums[g * size + i];
  });
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu) {
  const std::int64_t n = x.size(0), k = x.size(1), m = weight.size(0);
  Tensor y = Tensor::empty(Shape{n, m});
  const Linear work{static_cast<const float*>(x.raw()),
                    static_cast<const float*>(weight.raw()),
                    bias.defined() ? static_cast<const float*>(bias.raw()) : nullptr,
                    static_cast<float*>(y.mutable_raw()),
                    n,
                    m,
                    k,
                    relu};
  constexpr std::int64_t kRows = DotProducts::kRows;
  parallel_for((m + kRows - 1) / kRows, std::max<std::int64_t>(kGrain / (kRows * k * n), 1),
               [&work](std::int64_t begin, std::int64_t end) { simd::run<DotProducts>(&work, begin, end); });
  return y;
}

}  // namespace heft::small
