// What the tests of the core share: repeatable random tensors, inner products, comparison element by element.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"
#include "tests/catch_compat.h"

namespace heft::test {

inline Tensor normal(const Shape& shape, std::uint64_t seed, DType dtype = DType::f64) {
  return random_normal(shape, 0, 1, dtype, Device::cpu(), RandomKey{seed});
}

// The nearest numbers with 8 significant bits, to even between two.
inline Tensor in_bf16(const Tensor& x) {
  std::vector<float> values = x.to_vector<float>();
  for (float& v : values) {
    auto bits = std::bit_cast<std::uint32_t>(v);
    bits += 0x7fff + (bits >> 16 & 1);
    v = std::bit_cast<float>(bits & 0xffff0000u);
  }
  return Tensor::from(values, x.shape());
}

inline double inner_product(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

// ||got - want|| / ||want||, of tensors on any device.
inline double relative_error(const Tensor& got, const Tensor& want) {
  REQUIRE(got.shape() == want.shape());
  const std::vector<double> g = got.to_vector<double>(), w = want.to_vector<double>();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < g.size(); ++i)
    if (g[i] != w[i] && !(std::isnan(g[i]) && std::isnan(w[i]))) difference += (g[i] - w[i]) * (g[i] - w[i]);
  for (const double v : w) norm += std::isnan(v) ? 0 : v * v;
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

// Same shape, and |got - want| <= tolerance * max(1, |want|) everywhere; a NaN equals a NaN. Names the first element that is
// not.
inline void check_close(const Tensor& got, const Tensor& want, double tolerance) {
  REQUIRE(got.shape() == want.shape());
  const std::vector<double> g = got.to_vector<double>(), w = want.to_vector<double>();
  for (std::size_t i = 0; i < g.size(); ++i) {
    if (g[i] == w[i] || (std::isnan(g[i]) && std::isnan(w[i]))) continue;
    INFO("element " << i << " of " << got.shape().str() << ": got " << g[i] << ", want " << w[i]);
    const bool close = std::abs(g[i] - w[i]) <= tolerance * std::max(1.0, std::abs(w[i]));
    CHECK(close);
    if (!close) return;
  }
}

}  // namespace heft::test
