// CVaR and TopK, which is its form for counted samples.
#include "optim/cvar.h"

#include "core/error.h"
#include "core/ops.h"
#include "optim/top_k.h"
#include "tests/catch_compat.h"
#include "tests/optim/best_response.h"

using namespace heft;
using namespace heft::optim;
using namespace heft::test;

namespace {

SampleInfo with(const Numbers& q) { return {.prior = q.empty() ? Tensor{} : Tensor::from(q)}; }

}  // namespace

TEST_CASE("CVaR is the best response within p <= P / alpha", "[optim][dro]") {
  for (unsigned seed = 0; seed < 60; ++seed) {
    const std::size_t n = 3 + seed % 3;
    const Numbers losses = random_numbers(n, -1, 4, seed), q = seed % 2 ? random_numbers(n, 0.1, 3, seed + 500) : Numbers{};
    const double alpha = 0.05 + 0.95 * random_numbers(1, 0, 1, seed + 900)[0];
    const Numbers base = normalized(q, n);
    Numbers caps = base;
    for (double& cap : caps) cap /= alpha;
    const Numbers p = maximize([&](const Numbers& x) { return dot(x, losses); }, base, caps);
    CVaR reduction({.alpha = alpha});
    const Numbers weights = reduction.weigh(losses, with(q));
    INFO("seed " << seed << ", alpha " << alpha);
    for (std::size_t i = 0; i < n; ++i) CHECK(weights[i] / static_cast<double>(n) == Approx(p[i]).margin(1e-7));
    CHECK(reduction.objective() == Approx(dot(p, losses)).margin(1e-7));
    // The dual, at the threshold.
    double dual = reduction.threshold();
    for (std::size_t i = 0; i < n; ++i) dual += base[i] * std::max(0.0, losses[i] - reduction.threshold()) / alpha;
    CHECK(reduction.objective() == Approx(dual));
  }
}

TEST_CASE("CVaR: what ties at the quantile shares what is left, in proportion to the prior", "[optim][dro]") {
  CVaR half({.alpha = 0.5});
  check_close(half.weigh(Numbers{1, 2, 2, 2, 3}), {0, 1, 1, 1, 2});
  CHECK(half.threshold() == 2);
  CHECK(half.objective() == Approx(0.6 * 2 + 0.4 * 3));
  check_close(half.weigh(Numbers{7, 7, 7}, with({1, 2, 5})), {3.0 / 8, 6.0 / 8, 15.0 / 8});
  // 0.4 of the mass at 9, the next 0.1 from the two at 4.
  check_close(half.weigh(Numbers{4, 9, 4, 0}, with({1, 4, 3, 2})), {4 * 2 * 0.1 / 4, 4 * 2 * 0.4, 4 * 2 * 0.1 * 3 / 4, 0});
  check_close(CVaR({.alpha = 1e-12}).weigh(Numbers{1, 5, 5, 2}), {0, 2, 2, 0});
  // A sample of prior 0 is none.
  check_close(half.weigh(Numbers{1, 1e30}, with({1, 0})), {2, 0});
}

TEST_CASE("TopK is the best response within p <= 1 / k, and CVaR at alpha = k / N", "[optim][dro]") {
  for (unsigned seed = 0; seed < 40; ++seed) {
    const std::size_t n = 3 + seed % 3;
    Numbers losses = random_numbers(n, -1, 4, seed);
    if (seed % 4 == 0) losses[1] = losses[0];
    for (std::size_t k = 1; k <= n; ++k) {
      const Numbers p =
          maximize([&](const Numbers& x) { return dot(x, losses); }, normalized({}, n), Numbers(n, 1 / static_cast<double>(k)));
      TopK reduction({.k = static_cast<std::int64_t>(k)});
      CVaR twin({.alpha = static_cast<double>(k) / static_cast<double>(n)});
      const Numbers weights = reduction.weigh(losses), others = twin.weigh(losses);
      INFO("seed " << seed << ", k " << k);
      CHECK(reduction.objective() == Approx(dot(p, losses)).margin(1e-7));
      check_close(weights, others);
      CHECK(weights[0] * (losses[1] == losses[0]) == weights[1] * (losses[1] == losses[0]));
    }
  }
}

TEST_CASE("TopK by number and by share", "[optim][dro]") {
  TopK two({.k = 2});
  CHECK(two.weigh(Numbers{1, 3, 2, 5}) == Numbers{0, 2, 0, 2});
  CHECK(two.threshold() == 3);
  CHECK(two.weigh(Numbers{1, 3, 3, 5, 3, 0}) == Numbers{0, 1, 1, 3, 1, 0});
  CHECK(two.weigh(Numbers{4}) == Numbers{1});
  CHECK(two.k() == 1);
  TopK share({.share = 0.07});
  share.weigh(random_numbers(100, 0, 1, 1));
  CHECK(share.k() == 7);  // 0.07 * 100 is above 7
  share.weigh(random_numbers(101, 0, 1, 1));
  CHECK(share.k() == 8);
  share.weigh(Numbers{1, 2});
  CHECK(share.k() == 1);
}

TEST_CASE("CVaR and TopK refuse by name what they cannot use", "[optim][dro]") {
  for (const double alpha : {0.0, 5e-324, -0.5, 1.5, std::nan("")})
    CHECK(contains(message_of<ValueError>([&] { CVaR({.alpha = alpha}); }), "[cvar] expected alpha in [1e-12, 1]; got "));
  CHECK(message_of<ValueError>([] { TopK({}); }) == "[top_k] expected either a k or a share; got neither");
  CHECK(message_of<ValueError>([] { TopK({.k = 2, .share = 0.5}); }) == "[top_k] expected either a k or a share; got both");
  CHECK(message_of<ValueError>([] { TopK({.k = 0}); }) == "[top_k] expected a k of at least 1; got 0");
  CHECK(message_of<ValueError>([] { TopK({.share = 1.5}); }) == "[top_k] expected a share in (0, 1]; got 1.5");
  TopK reduction({.k = 1});
  CHECK(contains(message_of<ValueError>([&] { reduction.weigh(Numbers{1, 2}, with({1, 1})); }), "[top_k] expected no prior"));
}
