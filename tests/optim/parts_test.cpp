// Gradients accumulated over parts of a batch.
#include <cmath>

#include "autograd/elementwise.h"
#include "autograd/linalg.h"
#include "autograd/reduce.h"
#include "core/error.h"
#include "core/ops.h"
#include "core/random.h"
#include "optim/absgd.h"
#include "tests/catch_compat.h"

using namespace heft;
using namespace heft::optim;
using heft::test::contains;
using heft::test::message_of;

namespace {

constexpr std::int64_t kBatch = 24, kInputs = 5;

// A nonlinear model whose losses spread over a few nats.
struct Model {
  Variable weight{random_normal({3, kInputs}, 0, 0.3, DType::f64, Device::cpu(), {.seed = 1}), true};
  Variable losses(int step, std::int64_t begin, std::int64_t end) const {
    const Tensor x = random_normal({kBatch, kInputs}, 0, 1, DType::f64, Device::cpu(), {2, static_cast<std::uint64_t>(step)});
    return sum(pow(linear(x.slice(0, begin, end), weight, {}), 2.0), {1});
  }
};

Tensor prior(int step) {
  return random_uniform({kBatch}, 0.1, 3, DType::f64, Device::cpu(), {3, static_cast<std::uint64_t>(step)});
}

void check_same(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(want[i]).epsilon(1e-9).margin(1e-12));
}

}  // namespace

TEST_CASE("parts of a batch give the u, the weights and the step of the whole", "[optim]") {
  const double lambda = GENERATE(0.5, -2.0, ExponentialWeights::kInfinity);
  const bool with_prior = GENERATE(false, true);
  const double clip_norm = GENERATE(0.3, ExponentialWeights::kInfinity);
  const std::vector<std::int64_t> ends =
      GENERATE(std::vector<std::int64_t>{12, 24}, std::vector<std::int64_t>{8, 16, 24}, std::vector<std::int64_t>{3, 20, 24});
  INFO("lambda " << lambda << ", prior " << with_prior << ", clip " << clip_norm << ", parts " << ends.size());
  Model one, other;
  const ABSGDOptions options{.lr = 0.01, .clip_norm = clip_norm, .lambda = lambda, .gamma = 0.6, .alpha = 0.7};
  ABSGD whole({one.weight}, options), parts({other.weight}, options);
  for (int step = 0; step < 6; ++step) {
    const bool q = with_prior && step >= 2;  // deferred
    whole.zero_grad();
    backward(whole.reduce(one.losses(step, 0, kBatch), {.prior = q ? prior(step) : Tensor{}}));
    whole.step();
    parts.zero_grad();
    std::int64_t begin = 0;
    for (const std::int64_t end : ends) {
      backward(parts.reduce(other.losses(step, begin, end), {.prior = q ? prior(step).slice(0, begin, end) : Tensor{}}));
      begin = end;
    }
    parts.step();
    CHECK(parts.reduction().log_u() == Approx(whole.reduction().log_u()).epsilon(1e-9).margin(1e-12));
    CHECK(parts.reduction().mean_loss() == Approx(whole.reduction().mean_loss()));
    check_same(parts.reduction().weights(), whole.reduction().weights());
    check_same(other.weight.value().to_vector<double>(), one.weight.value().to_vector<double>());
  }
  for (const auto& [name, value] : whole.reduction().state())
    CHECK(parts.reduction().state().at(name).item() == Approx(value.item()).epsilon(1e-9).margin(1e-12));
}

TEST_CASE("the mean in parts is the mean of the whole, whatever the sizes", "[optim]") {
  Model one, other;
  SGD whole({one.weight}, {.lr = 0.01}), parts({other.weight}, {.lr = 0.01});
  whole.minimize(one.losses(0, 0, kBatch));
  backward(parts.reduce(other.losses(0, 0, 5)));
  backward(parts.reduce(other.losses(0, 5, kBatch)));
  parts.step();
  check_same(other.weight.value().to_vector<double>(), one.weight.value().to_vector<double>());
}

TEST_CASE("zero_grad begins a new batch, a reduction alone takes every call for one", "[optim]") {
  const std::vector<double> first{1, 2}, second{3, 4};
  ExponentialWeights twin({.lambda = 1}), alone({.lambda = 1}), parts({.lambda = 1});
  twin.weigh(first);
  twin.weigh(second);
  alone.reduce(Tensor::from(first));
  alone.reduce(Tensor::from(second));
  CHECK(alone.log_u() == twin.log_u());
  parts.reduce_part(Tensor::from(first));
  CHECK(parts.finish() == 1);
  CHECK(parts.finish() == 1);
  parts.reduce_part(Tensor::from(second));
  CHECK(parts.log_u() == twin.log_u());
  CHECK(contains(message_of<ValueError>([&] { parts.set_lambda(2); }), "between the parts"));

  Model model;
  ABSGD opt({model.weight});
  backward(opt.reduce(model.losses(0, 0, 12)));
  opt.zero_grad();
  backward(opt.reduce(model.losses(0, 12, 24)));
  CHECK(opt.reduction().weights().size() == 12);
}

TEST_CASE("a reduction that needs the whole batch says so at its second part", "[optim]") {
  ExponentialWeights reduction({.auto_lambda = AutoLambda{.effective_share = 0.5}});
  const std::vector<double> losses{1, 2, 3};
  reduction.reduce_part(Tensor::from(losses));
  CHECK(contains(message_of<ValueError>([&] { reduction.reduce_part(Tensor::from(losses)); }),
                 "[absgd] expected one reduce() per step"));
  reduction.finish();
  CHECK_NOTHROW(reduction.reduce_part(Tensor::from(losses)));
}
