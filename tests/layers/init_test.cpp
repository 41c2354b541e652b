#include "layers/init.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/random.h"
#include "layers/linear.h"
#include "tests/catch_compat.h"

using namespace heft;

namespace {

struct Statistics {
  double mean = 0, deviation = 0, low = 0, high = 0;
};

Statistics statistics(const Tensor& x) {
  const std::vector<double> v = x.to_vector<double>();
  const auto n = static_cast<double>(v.size());
  Statistics s{.low = *std::min_element(v.begin(), v.end()), .high = *std::max_element(v.begin(), v.end())};
  for (const double a : v) s.mean += a / n;
  for (const double a : v) s.deviation += (a - s.mean) * (a - s.mean) / n;
  s.deviation = std::sqrt(s.deviation);
  return s;
}

// 64 x 32 x 3 x 3: 18,432 numbers. The deviation of the sample mean is sigma / 136, of the sample deviation less.
const Shape kShape{64, 32, 3, 3};

void check_normal(const Tensor& x, double deviation) {
  const Statistics s = statistics(x);
  CHECK(std::abs(s.mean) < 5 * deviation / 136);
  CHECK(s.deviation == Approx(deviation).epsilon(0.03));
  CHECK(s.high > 3 * deviation);
}

void check_uniform(const Tensor& x, double bound) {
  const Statistics s = statistics(x);
  CHECK(std::abs(s.mean) < 5 * bound / 136);
  CHECK(s.deviation == Approx(bound / std::sqrt(3.0)).epsilon(0.03));
  CHECK(s.low >= -bound);
  CHECK(s.high <= bound);
  CHECK(s.high > 0.99 * bound);
}

}  // namespace

TEST_CASE("fan counts inputs and outputs with the receptive field", "[layers]") {
  CHECK(init::fan({10, 20}).in == 20);
  CHECK(init::fan({10, 20}).out == 10);
  CHECK(init::fan(kShape).in == 288);
  CHECK(init::fan(kShape).out == 576);
  CHECK_THROWS_AS(init::fan({10}), ShapeError);
  CHECK_THROWS_AS(init::fan({0, 3}), ShapeError);
}

TEST_CASE("initialisers have the spread of their formulas", "[layers]") {
  manual_seed(11);
  check_normal(init::kaiming_normal(kShape), std::sqrt(2.0 / 288));
  check_normal(init::kaiming_normal(kShape, {.mode = init::FanMode::out}), std::sqrt(2.0 / 576));
  check_uniform(init::kaiming_uniform(kShape, {.slope = 1}), std::sqrt(3.0 / 288));
  check_normal(init::xavier_normal(kShape, {.gain = 2}), 2 * std::sqrt(2.0 / (288 + 576)));
  check_uniform(init::xavier_uniform(kShape), std::sqrt(6.0 / (288 + 576)));
  check_normal(init::normal(kShape, 0, 0.1), 0.1);
  check_uniform(init::uniform(kShape, -2, 2), 2);
  check_uniform(init::default_weight(kShape), 1 / std::sqrt(288.0));
  check_uniform(init::default_bias(20000, 288), 1 / std::sqrt(288.0));
  CHECK(init::constant({2}, 0.5).to_vector<float>() == std::vector<float>{0.5f, 0.5f});
  CHECK(init::kaiming_normal({2, 2}, {.dtype = DType::f64}).dtype() == DType::f64);
}

TEST_CASE("the seed repeats the initial values", "[layers]") {
  const LinearOptions options{.in_features = 5, .out_features = 4};
  const auto weight = [&] { return Linear(options).weight().value().to_vector<float>(); };
  manual_seed(9);
  const auto first = weight(), second = weight();
  manual_seed(9);
  CHECK(weight() == first);
  CHECK(first != second);
  manual_seed(10);
  CHECK(weight() != first);
}

TEST_CASE("networks made without first values take no memory for them, and no random numbers", "[layers]") {
  const RandomState before = random_state();
  const std::int64_t features = std::int64_t{1} << 40;
  {
    const init::Skip without_values;
    const Linear linear({.in_features = features, .out_features = 1000});
    NormedLinear normed({.in_features = features, .out_features = 1000});
    CHECK(normed.weight().shape() == Shape{1000, features});
    CHECK(init::constant({features}, 2).shape() == Shape{features});
    { const init::Skip again; }
    CHECK(init::normal({2, features}).shape() == Shape{2, features});
  }
  CHECK(random_state().next == before.next);
  CHECK(init::constant({2}, 2).to_vector<float>() == std::vector<float>{2, 2});
  CHECK(random_state().seed == before.seed);
}

TEST_CASE("initialisers refuse what has no spread", "[layers]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(init::normal({2}, 0, -1), ValueError);
  CHECK_THROWS_AS(init::normal({2}, nan, 1), ValueError);
  CHECK_THROWS_AS(init::uniform({2}, 1, 0), ValueError);
  CHECK_THROWS_AS(init::kaiming_normal({2, 2}, {.slope = nan}), ValueError);
  CHECK_THROWS_AS(init::xavier_uniform({2, 2}, {.gain = 0}), ValueError);
}
