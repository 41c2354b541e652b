// What the tests of the losses share: seven samples of five classes, and comparisons with formulas in double.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "autograd/check_gradients.h"
#include "core/random.h"
#include "core/tensor.h"
#include "tests/catch_compat.h"

namespace heft::test {

inline constexpr std::int64_t kN = 7, kC = 5;
using Row = std::vector<double>;
using Rows = std::vector<Row>;

inline Tensor logits() { return random_normal({kN, kC}, 0, 3, DType::f64, Device::cpu(), {.seed = 4}); }
inline Tensor labels() { return Tensor::from<std::int64_t>({0, 4, 2, 2, 1, 3, 0}); }

inline Rows rows(const Tensor& x) {
  const Row flat = x.to_vector<double>();
  const auto width = static_cast<std::size_t>(x.size(1));
  Rows all;
  for (std::size_t i = 0; i < flat.size(); i += width)
    all.emplace_back(flat.begin() + static_cast<std::ptrdiff_t>(i), flat.begin() + static_cast<std::ptrdiff_t>(i + width));
  return all;
}

// p_c and -log p_c by the definition.
inline double probability(const Row& z, std::size_t c) {
  double total = 0;
  for (const double v : z) total += std::exp(v);
  return std::exp(z[c]) / total;
}
inline double minus_log_p(const Row& z, std::size_t c) { return -std::log(probability(z, c)); }

// Compares with formula(row, label, sample), one value per sample.
using Formula = std::function<double(const Row& z, std::size_t label, std::size_t sample)>;
inline void check_values(const Variable& losses, const Formula& formula) {
  REQUIRE(losses.shape() == Shape{kN});
  const Row got = losses.value().to_vector<double>();
  const Rows z = rows(logits());
  const auto y = labels().to_vector<std::int64_t>();
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == Approx(formula(z[i], static_cast<std::size_t>(y[i]), i)).epsilon(1e-12));
}

// Equal but for rounding.
inline void check_equal(const Variable& got, const Variable& want, double tolerance = 1e-12) {
  const Row g = got.value().to_vector<double>(), w = want.value().to_vector<double>();
  REQUIRE(g.size() == w.size());
  for (std::size_t i = 0; i < g.size(); ++i) CHECK(g[i] == Approx(w[i]).epsilon(tolerance).margin(1e-15));
}

inline void check_gradient(const std::function<Variable(const Variable&)>& loss, const Tensor& at) {
  const GradientCheckReport report = check_gradients([&](const std::vector<Variable>& v) { return loss(v[0]); }, {at});
  INFO(report.message);
  CHECK(report.ok);
  CHECK(report.checked >= at.numel());
}

}  // namespace heft::test
