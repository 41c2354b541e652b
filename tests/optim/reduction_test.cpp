#include <limits>
#include <vector>

#include "core/error.h"
#include "optim/batch_sums.h"
#include "optim/exponential_weights.h"
#include "tests/catch_compat.h"

using namespace heft;
using namespace heft::optim;
using heft::test::contains;
using heft::test::message_of;

TEST_CASE("reduce gives the mean of w_i loss_i and sends w_i / N back", "[optim]") {
  const DType dtype = GENERATE(DType::f32, DType::f64);
  const std::vector<double> values{0.5, 2.0, 0.25, 3.0, 1.0};
  Variable losses(Tensor::from(values).astype(dtype), true);
  ExponentialWeights reduction({.lambda = 0.7});
  const Variable scalar = reduction.reduce(losses);
  CHECK(scalar.shape() == Shape{});
  CHECK(scalar.dtype() == dtype);

  double expected = 0;
  for (std::size_t i = 0; i < values.size(); ++i) expected += reduction.weights()[i] * values[i] / 5;
  CHECK(scalar.value().item() == Approx(expected).epsilon(1e-6));
  backward(scalar, Tensor::scalar(2, dtype));
  CHECK(losses.grad().dtype() == dtype);
  const std::vector<double> grad = losses.grad().to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(grad[i] == Approx(2 * reduction.weights()[i] / 5).epsilon(1e-6));
}

TEST_CASE("the mean weighs every sample 1", "[optim]") {
  Variable losses(Tensor::from(std::vector<float>{1, 2, 6, 7}), true);
  Mean mean;
  const Variable scalar = mean.reduce(losses);
  CHECK(scalar.value().item() == 4.0);
  CHECK(mean.mean_loss() == 4.0);
  CHECK(mean.effective_sample_size() == 4.0);
  CHECK(mean.kl_from_uniform() == 0.0);
  backward(scalar);
  CHECK(losses.grad().to_vector<double>() == std::vector<double>(4, 0.25));
}

TEST_CASE("a reduction works alone on numbers", "[optim]") {
  ExponentialWeights reduction({.lambda = 1, .gamma = 1});
  const std::vector<double> losses{0, std::log(3.0)};
  const std::vector<double> weights = reduction.weigh(losses);
  CHECK(weights[0] == Approx(0.5));
  CHECK(weights[1] == Approx(1.5));
  CHECK(weights == reduction.weights());
  CHECK(reduction.mean_loss() == Approx(std::log(3.0) / 2));
  CHECK(reduction.objective() == Approx(std::log(2.0)));
  CHECK(reduction.effective_sample_size() == Approx(1.6));
  CHECK(reduction.kl_from_uniform() == Approx(0.25 * std::log(0.5) + 0.75 * std::log(1.5)));
  bool found = false;
  for (const auto& [name, value] : reduction.diagnostics()) {
    if (name == "lambda") found = value == 1.0;
  }
  CHECK(found);
}

TEST_CASE("under NoGrad reduce weighs and changes nothing", "[optim]") {
  ExponentialWeights seen({.lambda = 0.5}), twin({.lambda = 0.5});
  const std::vector<double> first{1, 2, 3}, other{9, 0.1};
  seen.weigh(first);
  twin.weigh(first);
  {
    const NoGrad no_grad;
    const Variable scalar = seen.reduce(Variable(Tensor::from(other)));
    CHECK_FALSE(scalar.requires_grad());
    CHECK(seen.weigh(other) != twin.weights());
  }
  CHECK(seen.weights() == twin.weights());
  CHECK(seen.mean_loss() == twin.mean_loss());
  CHECK(seen.log_u() == twin.log_u());
  CHECK(seen.clipped() == twin.clipped());
  for (const auto& [name, value] : twin.state()) {
    INFO(name);
    CHECK(seen.state().at(name).item() == value.item());
  }
  // And what it returned there is what the same batch gets when it counts.
  std::vector<double> peeked;
  {
    const NoGrad no_grad;
    peeked = seen.weigh(other);
  }
  CHECK(peeked == seen.weigh(other));
}

TEST_CASE("no graph reaches the weights or the average", "[optim]") {
  ExponentialWeights reduction;
  Variable losses(Tensor::from(std::vector<float>{1, 2, 3}), true);
  for (int step = 0; step < 3; ++step) {
    losses.zero_grad();
    // A second sweep over any earlier graph would throw; the gradient is that of the scalar with w constant.
    backward(reduction.reduce(losses));
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(losses.grad().to_vector<double>()[i] == Approx(reduction.weights()[i] / 3).epsilon(1e-6));
  }
}

TEST_CASE("reductions refuse what they cannot weigh and say where it is", "[optim]") {
  ExponentialWeights reduction;
  std::vector<float> values(128, 1.0F);
  values[17] = std::numeric_limits<float>::quiet_NaN();
  values[40] = std::numeric_limits<float>::infinity();
  const auto reduce = [&](Tensor t) { return [&reduction, t] { reduction.reduce(Variable(t)); }; };
  CHECK(message_of<NumericError>(reduce(Tensor::from(values))) ==
        "[absgd] expected finite losses; got nan at sample 17 of 128");
  CHECK(contains(message_of<NumericError>([&] { Mean().reduce(Variable(Tensor::from(values))); }), "[mean] expected finite"));
  values[17] = -std::numeric_limits<float>::infinity();
  CHECK(contains(message_of<NumericError>(reduce(Tensor::from(values))), "-inf at sample 17"));
  CHECK(contains(message_of<ShapeError>(reduce(Tensor::zeros({4, 2}))), "(N), one per sample; got (4, 2)"));
  CHECK(contains(message_of<ShapeError>(reduce(Tensor::scalar(1))), "(N)"));
  CHECK(contains(message_of<ShapeError>(reduce(Tensor::zeros({0}))), "empty batch"));
  CHECK(contains(message_of<ShapeError>([&] { reduction.weigh({}); }), "empty batch"));
  CHECK(contains(message_of<DTypeError>(reduce(Tensor::arange(3))), "i64"));
  CHECK(contains(message_of<AutogradError>([&] { reduction.reduce(Variable()); }), "undefined"));
  CHECK(reduction.weights().empty());  // none of it counted
  CHECK(reduction.log_u() == -ExponentialWeights::kInfinity);
}

TEST_CASE("sums over a batch survive the ends of the range", "[optim]") {
  const double huge = std::numeric_limits<double>::max();
  CHECK(batch_mean(std::vector<double>{huge, huge}) == huge);
  CHECK(batch_median(std::vector<double>{3, 1, 2, 10}) == 2);
  const LogMeanExp b = log_mean_exp(std::vector<double>{1e33, 1e33, -1e33});
  CHECK(b.max == 1e33);
  CHECK(b.offset == Approx(std::log(2.0 / 3)));
  const std::vector<double> tiny{1e-300, 1e-300, 0, 0};
  CHECK(effective_sample_size(tiny) == 2.0);
  CHECK(kl_divergence(tiny) == Approx(std::log(2.0)));
  CHECK(effective_sample_size(std::vector<double>(3, 0.0)) == 0.0);
  CHECK(kl_divergence(std::vector<double>(3, 0.0)) == 0.0);
}
