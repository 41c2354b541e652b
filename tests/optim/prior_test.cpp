// The prior: class or sample weights as the reference measure of the tilt.
#include <cmath>

#include "core/error.h"
#include "core/ops.h"
#include "optim/exponential_weights.h"
#include "tests/catch_compat.h"

using namespace heft;
using namespace heft::optim;
using heft::test::message_of;

namespace {

constexpr double kInfinity = ExponentialWeights::kInfinity;
using Numbers = std::vector<double>;

SampleInfo with(const Numbers& prior) { return {.prior = Tensor::from(prior)}; }

double mean(const Numbers& x) {
  double total = 0;
  for (const double v : x) total += v / static_cast<double>(x.size());
  return total;
}

}  // namespace

TEST_CASE("a prior of ones is no prior, and scaling it scales nothing but u", "[optim]") {
  for (const double lambda : {0.5, -2.0, kInfinity}) {
    ExponentialWeights none({.lambda = lambda}), ones({.lambda = lambda}), sevens({.lambda = lambda});
    for (const Numbers& losses : {Numbers{1, 2, 3}, Numbers{0.2, 4, 1}, Numbers{1, 1}}) {
      const Numbers weights = none.weigh(losses);
      CHECK(ones.weigh(losses, with(Numbers(losses.size(), 1))) == weights);
      const Numbers scaled = sevens.weigh(losses, with(Numbers(losses.size(), 7)));
      for (std::size_t i = 0; i < weights.size(); ++i) CHECK(scaled[i] == Approx(weights[i]));
      CHECK(sevens.objective() == Approx(none.objective()));
    }
    CHECK(sevens.log_u() == Approx(none.log_u() + std::log(7.0)));
  }
}

TEST_CASE("with lambda = infinity the weights are the prior over its moving mean; with the mean, the prior", "[optim]") {
  ExponentialWeights tilt({.lambda = kInfinity, .gamma = 0.5, .start = Start::first_batch});
  CHECK(tilt.weigh(Numbers{1, 9}, with({1, 3})) == Numbers{0.5, 1.5});
  const Numbers second = tilt.weigh(Numbers{5, 5}, with({4, 8}));  // moving mean (2 + 6) / 2
  CHECK(second == Numbers{1, 2});
  CHECK(tilt.log_u() == Approx(std::log(4.0)));
  Mean plain;
  CHECK(plain.weigh(Numbers{1, 9}, with({1, 3})) == Numbers{1, 3});
  CHECK(plain.kl_from_prior() == Approx(0).margin(1e-15));
  CHECK(plain.kl_from_uniform() == Approx(0.25 * std::log(0.5) + 0.75 * std::log(1.5)));
}

TEST_CASE("the weights are the gradient of F with the prior as its measure", "[optim]") {
  const Numbers losses{0.2, 1.4, 3.0, 0.7, 2.2}, q{0.5, 2, 0.25, 1, 1.25};
  for (const double lambda : {0.7, 3.0, -0.7}) {
    const auto objective = [&](std::size_t i, double h) {
      double total = 0;
      for (std::size_t k = 0; k < 5; ++k) total += q[k] * std::exp((losses[k] + (k == i ? h : 0)) / lambda) / 5;
      return lambda * std::log(total / mean(q));
    };
    ExponentialWeights reduction({.lambda = lambda, .gamma = 1});
    const Numbers weights = reduction.weigh(losses, with(q));
    CHECK(reduction.objective() == Approx(objective(0, 0)));
    for (std::size_t i = 0; i < 5; ++i)
      CHECK(weights[i] / 5 == Approx((objective(i, 1e-6) - objective(i, -1e-6)) / 2e-6).epsilon(1e-7));
  }
}

TEST_CASE("deferred weights: u goes over to the new prior, exactly where losses are constant", "[optim]") {
  const Numbers losses(4, 1.5), q{0.1, 0.2, 0.7, 5};
  for (const double lambda : {0.5, -1.0, kInfinity}) {
    ExponentialWeights reduction({.lambda = lambda, .gamma = 0.1});
    for (int step = 0; step < 5; ++step) reduction.weigh(losses);
    CHECK(mean(reduction.weigh(losses, with(q))) == Approx(1));  // without the change of u: 1.5 / 1.05
    CHECK(reduction.objective() == Approx(1.5));
    // And to another one, told what it was.
    SampleInfo about = with({3, 3, 1, 9});
    about.prior_before = Tensor::from(q);
    CHECK(mean(reduction.weigh(losses, about)) == Approx(1));
    reduction.set_lambda(2);
    CHECK(reduction.objective() == Approx(1.5));
    CHECK(mean(reduction.weigh(losses, with({3, 3, 1, 9}))) == Approx(1));
  }
}

TEST_CASE("samples of prior 0 weigh nothing, and a batch of them leaves the average alone", "[optim]") {
  ExponentialWeights reduction({.lambda = 1}), twin({.lambda = 1});
  CHECK(reduction.weigh(Numbers{9, 9}, with({0, 0})) == Numbers{0, 0});
  CHECK(reduction.log_u() == -kInfinity);
  const Numbers weights = reduction.weigh(Numbers{1, 1e30, 2}, with({1, 0, 1}));
  CHECK(weights[1] == 0);
  CHECK(reduction.clipped() == 0);
  twin.weigh(Numbers{1, 2}, with({1, 1}));
  CHECK(reduction.objective() == Approx(twin.objective()));
  const double before = reduction.log_u();
  CHECK(reduction.weigh(Numbers{9, 9}, with({0, 0})) == Numbers{0, 0});
  CHECK(reduction.log_u() == before);
}

TEST_CASE("what does not fit the losses is refused by name", "[optim]") {
  ExponentialWeights reduction;
  const Numbers losses{1, 2, 3};
  const auto weigh = [&](const SampleInfo& about) { return [&, about] { reduction.weigh(losses, about); }; };
  CHECK(message_of<ValueError>(weigh(with({1, -2, 1}))) ==
        "[absgd] expected finite prior of at least 0; got -2 at sample 1 of 3");
  CHECK(message_of<ValueError>(weigh(with({1, 1, kInfinity}))) ==
        "[absgd] expected finite prior of at least 0; got inf at sample 2 of 3");
  CHECK(message_of<ShapeError>(weigh(with({1, 1}))) == "[absgd] expected prior of shape (3,); got (2,)");
  CHECK(message_of<DTypeError>(weigh({.prior = Tensor::arange(3)})) == "[absgd] expected prior of f32 or f64; got i64");
  CHECK(message_of<DTypeError>(weigh({.groups = Tensor::from(losses)})) == "[absgd] expected integer groups; got f64");
  CHECK(reduction.weights().empty());
}
