#include "optim/chi_square.h"

#include "core/error.h"
#include "core/ops.h"
#include "tests/catch_compat.h"
#include "tests/optim/best_response.h"

using namespace heft;
using namespace heft::optim;
using namespace heft::test;

namespace {

SampleInfo with(const Numbers& q) { return {.prior = q.empty() ? Tensor{} : Tensor::from(q)}; }

double divergence(const Numbers& p, const Numbers& base) {
  double total = 0;
  for (std::size_t i = 0; i < p.size(); ++i) total += base[i] * std::pow(p[i] / base[i] - 1, 2) / 2;
  return total;
}

Numbers best_response(const Numbers& losses, const Numbers& base, double lambda) {
  return maximize([&](const Numbers& p) { return dot(p, losses) - lambda * divergence(p, base); }, base,
                  Numbers(losses.size(), 1));
}

Numbers probabilities(ChiSquare& reduction, const Numbers& losses, const Numbers& q = {}) {
  Numbers p = reduction.weigh(losses, with(q));
  for (double& v : p) v /= static_cast<double>(p.size());
  return p;
}

// Losses with and without ties, priors and without; sizes 3 to 5.
struct Case {
  Numbers losses, q, base;
  explicit Case(unsigned seed)
      : losses(random_numbers(3 + seed % 3, -1, 4, seed)),
        q(seed % 2 ? random_numbers(losses.size(), 0.1, 3, seed + 500) : Numbers{}),
        base(normalized(q, losses.size())) {
    if (seed % 5 == 0) losses[1] = losses[0];
    if (seed % 7 == 0) losses[2] = *std::max_element(losses.begin(), losses.end());
  }
};

}  // namespace

TEST_CASE("chi-square penalty: the best response is the one that brute force finds", "[optim][dro]") {
  for (unsigned seed = 0; seed < 60; ++seed) {
    const Case c(seed);
    const double lambda = std::pow(10, random_numbers(1, -1.5, 1.5, seed + 900)[0]);
    const Numbers want = best_response(c.losses, c.base, lambda);
    ChiSquare reduction({.lambda = lambda});
    const Numbers p = probabilities(reduction, c.losses, c.q);
    INFO("seed " << seed << ", lambda " << lambda);
    CHECK(dot(p, Numbers(p.size(), 1)) == Approx(1));
    for (std::size_t i = 0; i < p.size(); ++i) {
      CHECK(p[i] == Approx(want[i]).margin(1e-6));
      CHECK(p[i] == Approx(c.base[i] * std::max(0.0, c.losses[i] - reduction.threshold()) / lambda).margin(1e-12));
    }
    CHECK(reduction.divergence() == Approx(divergence(p, c.base)).margin(1e-15));
    CHECK(reduction.objective() == Approx(dot(want, c.losses) - lambda * divergence(want, c.base)).epsilon(1e-10));
    CHECK_FALSE(reduction.clamped());
  }
}

TEST_CASE("chi-square ball: within the radius, and no multiplier's bound is below it", "[optim][dro]") {
  int clamped = 0, partial = 0;
  for (unsigned seed = 0; seed < 90; ++seed) {
    const Case c(seed);
    const double radius = std::pow(10, random_numbers(1, -2, 0.3, seed + 900)[0]);
    ChiSquare reduction({.radius = radius});
    const Numbers p = probabilities(reduction, c.losses, c.q);
    INFO("seed " << seed << ", radius " << radius << ", lambda " << reduction.lambda());
    CHECK(dot(p, Numbers(p.size(), 1)) == Approx(1));
    CHECK(divergence(p, c.base) <= radius * (1 + 1e-9));
    CHECK(reduction.divergence() == Approx(divergence(p, c.base)));
    CHECK(reduction.objective() == Approx(dot(p, c.losses)));
    // For every lambda >= 0 the ball's maximum is at most  lambda radius + max of the penalty: equal at the multiplier, p is
    // it.
    const double lambda = reduction.lambda();
    const Numbers other = best_response(c.losses, c.base, lambda);
    const double bound = dot(other, c.losses) - lambda * divergence(other, c.base) + lambda * radius;
    CHECK(reduction.objective() == Approx(bound).margin(1e-8));
    if (reduction.clamped()) {
      ++clamped;
      CHECK(lambda == 0);
      CHECK(reduction.divergence() < radius);
    } else {
      CHECK(reduction.divergence() == Approx(radius));
      partial += *std::min_element(p.begin(), p.end()) == 0;
      for (std::size_t i = 0; i < p.size(); ++i) CHECK(p[i] == Approx(other[i]).margin(1e-6));
    }
  }
  CHECK(clamped > 5);
  CHECK(partial > 10);
}

TEST_CASE("chi-square ball: no point of a fine grid over the simplex is better", "[optim][dro]") {
  constexpr int kGrid = 200;
  for (unsigned seed = 0; seed < 12; ++seed) {
    const Numbers losses = random_numbers(3, 0, 4, seed), q = seed % 2 ? random_numbers(3, 0.2, 2, seed + 50) : Numbers{};
    const Numbers base = normalized(q, 3);
    const double radius = 0.05 + 0.05 * seed;
    double best = -1e9;
    for (int i = 0; i <= kGrid; ++i)
      for (int j = 0; i + j <= kGrid; ++j) {
        const Numbers p{1.0 * i / kGrid, 1.0 * j / kGrid, 1.0 * (kGrid - i - j) / kGrid};
        if (divergence(p, base) <= radius) best = std::max(best, dot(p, losses));
      }
    ChiSquare reduction({.radius = radius});
    probabilities(reduction, losses, q);
    INFO("seed " << seed);
    CHECK(reduction.objective() >= best - 1e-12);
    CHECK(reduction.objective() <= best + 4.0 / kGrid * 2);
  }
}

TEST_CASE("chi-square: while all count, the objective is the mean and a penalty on the variance", "[optim][dro]") {
  const Numbers losses{1, 2, 4, 5};  // mean 3, variance 2.5
  ChiSquare penalty({.lambda = 10}), ball({.radius = 0.1});
  penalty.weigh(losses);
  ball.weigh(losses);
  CHECK(penalty.objective() == Approx(3 + 2.5 / 20));
  CHECK(ball.objective() == Approx(3 + std::sqrt(2 * 0.1 * 2.5)));
  CHECK(ball.lambda() == Approx(std::sqrt(2.5 / 0.2)));
  // With that multiplier as the penalty's lambda the weights are the same.
  ChiSquare twin({.lambda = ball.lambda()});
  check_close(twin.weigh(losses), ball.weights());
}

TEST_CASE("chi-square: ties that leave the radius out of reach share everything, and it says so", "[optim][dro]") {
  ChiSquare reduction({.radius = 0.6});
  check_close(reduction.weigh(Numbers{3, 1, 3, 0}), {2, 0, 2, 0});  // never beyond (4 / 2 - 1) / 2
  CHECK(reduction.clamped());
  CHECK(reduction.divergence() == 0.5);
  CHECK(reduction.lambda() == 0);
  CHECK(reduction.threshold() == 3);
  check_close(reduction.weigh(Numbers{2, 2, 2}, with({1, 2, 3})), {0.5, 1, 1.5});
  CHECK(reduction.clamped());
  check_close(reduction.weigh(Numbers{7}), {1});
  reduction.weigh(Numbers{3, 1, 2.9, 0});
  CHECK_FALSE(reduction.clamped());
  // A sample of prior 0 is none, however large.
  check_close(reduction.weigh(Numbers{1e30, 1, 1}, with({0, 1, 1})), {0, 1.5, 1.5});
}

TEST_CASE("chi-square survives losses of any size and any distance", "[optim][dro]") {
  for (const Numbers& losses : {Numbers{1e30, 0, 1}, Numbers{-1e30, 1e30, 0}, Numbers{1e200, -1e200, 0},
                                Numbers{1e30, 1e30 * (1 + 1e-15), 0}, Numbers{0, -1e-170, -1}, Numbers{1, 1 - 1e-16, 0}})
    for (const double size : {1e-300, 1e-12, 0.3, 1e12, 1e300})
      for (const bool ball : {false, true}) {
        ChiSquare reduction(ball ? ChiSquareOptions{.radius = size} : ChiSquareOptions{.lambda = size});
        const Numbers p = probabilities(reduction, losses);
        INFO("largest " << *std::max_element(losses.begin(), losses.end()) << ", " << (ball ? "radius " : "lambda ") << size);
        CHECK(dot(p, {1, 1, 1}) == Approx(1));
        CHECK(*std::min_element(p.begin(), p.end()) >= 0);
        CHECK(std::isfinite(reduction.objective()));
        if (ball && size < 1) CHECK(divergence(p, Numbers(3, 1.0 / 3)) <= size + 1e-12);
      }
  // A common offset is none.
  ChiSquare near({.radius = 0.2}), far({.radius = 0.2});
  const double unit = 1024;
  CHECK(near.weigh(Numbers{0, 1, 2}) == far.weigh(Numbers{1.0 * (1LL << 60), (1LL << 60) + unit, (1LL << 60) + 2 * unit}));
}

TEST_CASE("chi-square refuses by name what it cannot use", "[optim][dro]") {
  CHECK(message_of<ValueError>([] { ChiSquare({}); }) == "[chi_square] expected either a lambda or a radius; got neither");
  CHECK(message_of<ValueError>([] { ChiSquare({.lambda = 1, .radius = 1}); }) ==
        "[chi_square] expected either a lambda or a radius; got both");
  CHECK(message_of<ValueError>([] { ChiSquare({.lambda = 0}); }) == "[chi_square] expected a lambda above 0; got 0");
  CHECK(message_of<ValueError>([] { ChiSquare({.radius = -1}); }) == "[chi_square] expected a radius above 0; got -1");
  CHECK(contains(message_of<ValueError>([] { ChiSquare({.radius = std::nan("")}); }), "radius above 0; got nan"));
}
