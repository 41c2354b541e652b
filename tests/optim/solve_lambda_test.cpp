#include "optim/solve_lambda.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "core/error.h"
#include "optim/batch_sums.h"
#include "optim/exponential_weights.h"
#include "tests/catch_compat.h"

using namespace heft;
using namespace heft::optim;
using heft::test::contains;
using heft::test::message_of;

namespace {

using Numbers = std::vector<double>;

Numbers random_numbers(std::size_t n, double low, double high, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<double> draw(low, high);
  Numbers all;
  for (std::size_t i = 0; i < n; ++i) all.push_back(draw(engine));
  return all;
}

// By the definition, in long double.
Numbers probabilities(const Numbers& losses, const Numbers& q, double lambda) {
  long double total = 0;
  std::vector<long double> e;
  const double top =
      lambda > 0 ? *std::max_element(losses.begin(), losses.end()) : *std::min_element(losses.begin(), losses.end());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    e.push_back((q.empty() ? 1 : q[i]) * std::exp(static_cast<long double>(losses[i] - top) / lambda));
    total += e.back();
  }
  Numbers p;
  for (const long double v : e) p.push_back(static_cast<double>(v / total));
  return p;
}

}  // namespace

TEST_CASE("the lambda that is solved for has the share or the divergence that is wanted", "[optim]") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const Numbers losses = random_numbers(40, 0, seed % 3 ? 5 : 1e-3, seed);
    const Numbers q = seed % 2 ? random_numbers(40, 0.05, 4, seed + 1000) : Numbers{};
    for (const double sign : {1.0, -1.0}) {
      const LambdaSolution share = lambda_for_effective_share(losses, q, 0.3, {.sign = sign});
      const LambdaSolution kl = lambda_for_kl(losses, q, 0.7, {.sign = sign});
      INFO("seed " << seed << ", sign " << sign << ", lambdas " << share.lambda << " and " << kl.lambda);
      if (!share.clamped) {
        CHECK(share.reached == Approx(0.3));
        if (q.empty()) CHECK(effective_sample_size(probabilities(losses, q, share.lambda)) / 40 == Approx(0.3).epsilon(1e-6));
      } else {
        CHECK(std::abs(share.lambda) == 1e-3);
      }
      if (!kl.clamped) CHECK(kl_divergence(probabilities(losses, q, kl.lambda), q) == Approx(0.7).epsilon(1e-6));
      CHECK((share.lambda * sign > 0 && kl.lambda * sign > 0));
    }
  }
}

TEST_CASE("share and divergence are monotone in lambda, with a prior too", "[optim]") {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const Numbers losses = random_numbers(12, 0, 4, seed), q = random_numbers(12, 0.01, 5, seed + 99);
    for (const double sign : {1.0, -1.0}) {
      double share = 0, kl = 1e9;
      for (double size = 0.01; size < 1000; size *= 1.3) {
        const double next_share = effective_share_at(losses, q, sign * size), next_kl = kl_at(losses, q, sign * size);
        CHECK((next_share >= share - 1e-12 && next_kl <= kl + 1e-12));
        share = next_share, kl = next_kl;
      }
      CHECK(share == Approx(1).epsilon(1e-3));
      CHECK(kl == Approx(0).margin(1e-3));
    }
  }
}

TEST_CASE("ties leave no solution: the end of the range, and it says so", "[optim]") {
  const Numbers tied{3, 3, 3, 1};  // the three largest tie: never below a share of 3/4, never above log(4/3) nats
  const LambdaSolution share = lambda_for_effective_share(tied, {}, 0.5);
  CHECK(share.clamped);
  CHECK(share.lambda == Approx(1e-3));
  CHECK(share.reached == Approx(0.75));
  const LambdaSolution kl = lambda_for_kl(tied, {}, 0.5);
  CHECK(kl.clamped);
  CHECK(kl.reached == Approx(std::log(4.0 / 3)));
  CHECK_FALSE(lambda_for_effective_share(tied, {}, 0.5, {.sign = -1}).clamped);
  CHECK(lambda_for_kl(Numbers(4, 2.0), {}, 0.1).clamped);
  const LambdaSolution huge = lambda_for_effective_share(Numbers{0, 1e30}, {}, 0.9);
  CHECK(huge.clamped);
  CHECK(huge.lambda == Approx(1e6));
}

TEST_CASE("options of a solved lambda are checked by name", "[optim]") {
  const Numbers losses{1, 2};
  CHECK(contains(message_of<ValueError>([&] { lambda_for_effective_share(losses, {}, 1); }), "share in (0, 1); got 1"));
  CHECK(contains(message_of<ValueError>([&] { lambda_for_kl(losses, {}, 0); }), "above 0 nats; got 0"));
  const Numbers broken{1, std::nan(""), 2};
  CHECK(contains(message_of<NumericError>([&] { lambda_for_kl(broken, {}, 0.1); }), "got nan at sample 1 of 3"));
  CHECK(contains(message_of<ValueError>([&] { lambda_for_kl(losses, {}, 1, {.sign = 0}); }), "sign"));
  CHECK(contains(message_of<ValueError>([&] { lambda_for_kl(losses, {}, 1, {.smallest = 1e-5}); }), "range"));
  const auto make = [](const AutoLambda& a) { return [a] { ExponentialWeights({.auto_lambda = a}); }; };
  CHECK(contains(message_of<ValueError>(make({})), "neither"));
  CHECK(contains(message_of<ValueError>(make({.effective_share = 0.5, .kl = 1.0})), "both"));
  CHECK(contains(message_of<ValueError>(make({.effective_share = 0.5, .when = AutoLambda::When::dual_step})), "dual_step"));
  CHECK(contains(
      message_of<ValueError>([] { ExponentialWeights({.start = Start::official, .auto_lambda = AutoLambda{.kl = 1.0}}); }),
      "official"));
}

TEST_CASE("lambda = auto: every batch has the wanted concentration, whatever its scale", "[optim]") {
  for (const double sign : {1.0, -1.0}) {
    ExponentialWeights share({.lambda = sign, .auto_lambda = AutoLambda{.effective_share = 0.4}});
    ExponentialWeights kl({.lambda = sign, .auto_lambda = AutoLambda{.kl = 0.5}});
    for (unsigned step = 0; step < 30; ++step) {
      const Numbers losses = random_numbers(64, 0, std::pow(10.0, static_cast<double>(step % 4) - 1), step);
      share.weigh(losses);
      CHECK(share.effective_sample_size() / 64 == Approx(0.4).epsilon(1e-6));
      kl.weigh(losses);
      CHECK(kl.kl_from_prior() == Approx(0.5).epsilon(1e-6));
      CHECK(kl.lambda() * sign > 0);
      CHECK_FALSE(kl.lambda_clamped());
    }
    const double before = share.lambda();
    share.weigh(Numbers(64, 1.0));  // no lambda tells these apart: the last one stays
    CHECK(share.lambda() == before);
    CHECK(share.lambda_clamped());
  }
  // While the mean holds, in a first stage, nothing is solved.
  ExponentialWeights staged({.lambda = ExponentialWeights::kInfinity, .auto_lambda = AutoLambda{.effective_share = 0.4}});
  staged.weigh(random_numbers(64, 0, 5, 1));
  CHECK(staged.weights() == Numbers(64, 1));
  staged.set_lambda(1);
  staged.weigh(random_numbers(64, 0, 5, 2));
  CHECK(staged.effective_sample_size() / 64 == Approx(0.4).epsilon(1e-6));
}

TEST_CASE("lambda = auto on adapt() solves on what was seen since, and its state continues", "[optim]") {
  const ExponentialWeightsOptions options{.auto_lambda =
                                              AutoLambda{.effective_share = 0.4, .when = AutoLambda::When::on_adapt}};
  ExponentialWeights whole(options);
  Numbers seen;
  for (unsigned step = 0; step < 5; ++step) {
    const Numbers losses = random_numbers(32, 0, 3, step);
    whole.weigh(losses);
    seen.insert(seen.end(), losses.begin(), losses.end());
    CHECK(whole.lambda() == 5);
  }
  ExponentialWeights restored(options);
  restored.load_state(whole.state());
  whole.adapt();
  restored.adapt();
  CHECK(whole.lambda() == lambda_for_effective_share(seen, {}, 0.4).lambda);
  CHECK(restored.lambda() == whole.lambda());
  const double lambda = whole.lambda();
  whole.adapt();  // nothing seen since
  CHECK(whole.lambda() == lambda);
}

TEST_CASE("the dual step descends to the lambda that has the wanted divergence", "[optim]") {
  for (const double sign : {1.0, -1.0}) {
    ExponentialWeights reduction(
        {.lambda = 5 * sign, .auto_lambda = AutoLambda{.kl = 0.5, .when = AutoLambda::When::dual_step, .rate = 0.5}});
    const Numbers losses = random_numbers(64, 0, 3, 7);
    for (int step = 0; step < 500; ++step) reduction.weigh(losses);
    CHECK(reduction.lambda() == Approx(lambda_for_kl(losses, {}, 0.5, {.sign = sign}).lambda).epsilon(1e-3));
  }
}

TEST_CASE("min_share: a batch is never left to fewer, its sum and u stay", "[optim]") {
  for (const double lambda : {0.05, -0.05, 50.0}) {
    ExponentialWeights free({.lambda = lambda}), held({.lambda = lambda, .min_share = 0.3});
    for (unsigned step = 0; step < 20; ++step) {
      const Numbers losses = random_numbers(64, 0, 4, step), q = random_numbers(64, 0.1, 2, step + 50);
      const SampleInfo about{.prior = step > 9 ? Tensor::from(q) : Tensor{}};
      const Numbers loose = free.weigh(losses, about), weights = held.weigh(losses, about);
      double a = 0, b = 0;
      for (std::size_t i = 0; i < 64; ++i) a += loose[i], b += weights[i];
      CHECK(b == Approx(a));
      CHECK(held.log_u() == free.log_u());
      if (lambda == 50) CHECK(weights == loose);
      else if (step <= 9) CHECK(held.effective_sample_size() / 64 == Approx(0.3).epsilon(1e-6));
      for (std::size_t i = 1; i < 64 && step <= 9; ++i)  // still ordered by the losses
        CHECK(((losses[i] - losses[0]) * lambda > 0) == (weights[i] > weights[0]));
    }
  }
  CHECK(contains(message_of<ValueError>([] { ExponentialWeights({.min_share = 1}); }), "min_share"));
}
