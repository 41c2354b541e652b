#include "layers/losses.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/reduce.h"
#include "core/error.h"
#include "core/random.h"
#include "data/imbalance.h"
#include "tests/layers/loss_checks.h"

using namespace heft;
using namespace heft::test;

TEST_CASE("cross_entropy agrees with its formula", "[losses]") {
  const Tensor y = labels();
  check_values(cross_entropy(logits(), y), [](const Row& z, std::size_t c, std::size_t) { return minus_log_p(z, c); });
  const Row w = {0.5, 2, 0, 1, 3};
  const auto smoothed = [&](const Row& z, std::size_t c, std::size_t) {
    double mean = 0;
    for (std::size_t k = 0; k < z.size(); ++k) mean += minus_log_p(z, k) / static_cast<double>(kC);
    return w[c] * (0.8 * minus_log_p(z, c) + 0.2 * mean);
  };
  const CrossEntropyOptions options{.label_smoothing = 0.2, .class_weights = Tensor::from(w)};
  check_values(cross_entropy(logits(), y, options), smoothed);
  check_gradient([&](const Variable& x) { return cross_entropy(x, y); }, logits());
  check_gradient([&](const Variable& x) { return cross_entropy(x, y, options); }, logits());
  CHECK(cross_entropy(logits(), y.astype(DType::u8)).value().to_vector<double>() ==
        cross_entropy(logits(), y).value().to_vector<double>());
}

TEST_CASE("nll picks the label's entry", "[losses]") {
  check_values(nll(log_softmax(logits()), labels()),
               [](const Row& z, std::size_t c, std::size_t) { return minus_log_p(z, c); });
  check_gradient([](const Variable& x) { return nll(x, labels()); }, logits());
}

TEST_CASE("binary cross entropy sums over outputs", "[losses]") {
  const Tensor t = random_uniform({kN, kC}, 0, 1, DType::f64, Device::cpu(), {.seed = 5});
  const Rows targets = rows(t);
  check_values(binary_cross_entropy_with_logits(logits(), t), [&](const Row& z, std::size_t, std::size_t i) {
    double total = 0;
    for (std::size_t k = 0; k < z.size(); ++k) {
      const double p = 1 / (1 + std::exp(-z[k]));
      total -= targets[i][k] * std::log(p) + (1 - targets[i][k]) * std::log(1 - p);
    }
    return total;
  });
  check_gradient([&](const Variable& x) { return binary_cross_entropy_with_logits(x, t); }, logits());
  const Variable one(Tensor::from<float>({0.0f, 1.0f}));
  CHECK(binary_cross_entropy_with_logits(one, Tensor::from<std::int64_t>({1, 0})).value().to_vector<double>()[0] ==
        Approx(std::log(2.0)));
}

TEST_CASE("mse, l1 and smooth_l1 average over outputs", "[losses]") {
  const Tensor t = random_normal({kN, kC}, 0, 3, DType::f64, Device::cpu(), {.seed = 6});
  const Rows targets = rows(t);
  const auto mean_of = [&](auto f) {
    return [&targets, f](const Row& x, std::size_t, std::size_t i) {
      double total = 0;
      for (std::size_t k = 0; k < x.size(); ++k) total += f(std::abs(x[k] - targets[i][k]));
      return total / static_cast<double>(kC);
    };
  };
  check_values(mse(logits(), t), mean_of([](double d) { return d * d; }));
  check_values(l1(logits(), t), mean_of([](double d) { return d; }));
  check_values(smooth_l1(logits(), t, {.beta = 2}), mean_of([](double d) { return d < 2 ? d * d / 4 : d - 1; }));
  check_gradient([&](const Variable& x) { return mse(x, t); }, logits());
  check_gradient([&](const Variable& x) { return l1(x, t); }, logits());
  check_gradient([&](const Variable& x) { return smooth_l1(x, t, {.beta = 2}); }, logits());
  CHECK(mse(Tensor::from<float>({1, 5}), Tensor::from<float>({3, 5})).value().to_vector<float>() == std::vector<float>{4, 0});
  CHECK(l1(Tensor::ones({2, 3, 2}), Tensor::zeros({2, 3, 2})).shape() == Shape{2});
}

TEST_CASE("hinge is Crammer and Singer's", "[losses]") {
  check_values(hinge(logits(), labels(), {.margin = 1.5}), [](const Row& s, std::size_t c, std::size_t) {
    double worst = 0;
    for (std::size_t k = 0; k < s.size(); ++k)
      if (k != c) worst = std::max(worst, 1.5 + s[k] - s[c]);
    return worst;
  });
  check_gradient([](const Variable& x) { return hinge(x, labels()); }, logits());
  const Variable sure(Tensor::from<float>({9, 0, 0}, {1, 3}), true);
  const Variable loss = hinge(sure, Tensor::from<std::int64_t>({0}));
  CHECK(loss.value().item() == 0);
}

TEST_CASE("class-balanced cross entropy is cross entropy with effective-number weights", "[losses]") {
  // CIFAR-10, exponential 0.01: the published weights of the largest and the smallest class are 0.0506 and 3.993.
  const auto counts = data::long_tailed_counts(5000, 10, data::Profile::exponential, 0.01);
  const Tensor w = data::class_weights(counts, {.scheme = data::WeightScheme::effective_number});
  const Tensor z = random_normal({2, 10}).astype(DType::f64), y = Tensor::from<std::int64_t>({0, 9});
  const Row plain = cross_entropy(z, y).value().to_vector<double>();
  const Row balanced = cross_entropy(z, y, {.class_weights = w}).value().to_vector<double>();
  CHECK(balanced[0] / plain[0] == Approx(0.0506).margin(0.00005));
  CHECK(balanced[1] / plain[1] == Approx(3.993).margin(0.0005));
  check_equal(class_weighted(cross_entropy(z, y), y, w), cross_entropy(z, y, {.class_weights = w}));
}

TEST_CASE("class weights multiply any losses", "[losses]") {
  const Variable losses(Tensor::from<double>({1, 2, 3}), true);
  const Variable weighted = class_weighted(losses, Tensor::from<std::uint8_t>({1, 0, 1}), Tensor::from<float>({0.5f, 4}));
  CHECK(weighted.value().to_vector<double>() == Row{4, 1, 12});
  backward(weighted, Tensor::ones({3}, DType::f64));
  CHECK(losses.grad().to_vector<double>() == Row{4, 0.5, 4});
}

TEST_CASE("the logistic loss takes labels 0 and 1, or -1 and 1", "[losses]") {
  const Row z = {2, -3, 0.5};
  const Tensor x = Tensor::from(z);
  const Variable losses = logistic(x, Tensor::from<std::int64_t>({1, 0, 0}));
  check_equal(losses, logistic(x.reshape({3, 1}), Tensor::from<std::int32_t>({1, -1, -1})));
  check_equal(losses, logistic(x, Tensor::from<bool>({true, false, false})));
  check_equal(losses, Tensor::from<double>({std::log1p(std::exp(-2)), std::log1p(std::exp(-3)), std::log1p(std::exp(0.5))}));
  check_equal(losses, binary_cross_entropy_with_logits(x, Tensor::from<double>({1, 0, 0})));
  check_gradient([](const Variable& v) { return logistic(v, Tensor::from<std::int64_t>({1, -1, 1})); }, x);
  CHECK(logistic(Tensor::zeros({0, 1}), Tensor::zeros({0}, DType::i64)).shape() == Shape{0});

  const auto message = [&](const std::vector<std::int64_t>& y) {
    return message_of<ValueError>([&] { logistic(x, Tensor::from(y)); });
  };
  CHECK(message({1, 2, 0}) == "[logistic] expected labels 0 and 1, or -1 and 1; got 2 at sample 1");
  CHECK(message({1, 0, -1}) == "[logistic] expected labels 0 and 1, or -1 and 1; got -1 at sample 2, and both 0 and -1");
  CHECK(contains(message_of<ShapeError>([&] {
                   logistic(Tensor::zeros({3, 2}), Tensor::zeros({3}, DType::i64));
                 }),
                 "expected logits (N) or (N, 1) and labels (N); got (3, 2) and (3,)"));
  CHECK_THROWS_AS(logistic(x, Tensor()), ShapeError);
  CHECK(contains(message_of<DTypeError>([&] { logistic(x, Tensor::zeros({3})); }), "expected integer labels; got f32"));
}

TEST_CASE("wrong labels and targets are named with their sample", "[losses]") {
  const Variable x(Tensor::zeros({7, 10}));
  const Tensor bad = Tensor::from<std::int64_t>({0, 1, 2, 3, 4, 12, 6});
  CHECK(message_of<ValueError>([&] { cross_entropy(x, bad); }) ==
        "[cross_entropy] expected labels in [0, 10); got 12 at sample 5");
  CHECK(contains(message_of<ValueError>([&] { nll(x, Tensor::full({7}, -1, DType::i64)); }),
                 "[nll] expected labels in [0, 10); got -1 at sample 0"));
  CHECK(contains(message_of<ValueError>([&] { hinge(x, bad); }), "[hinge] expected labels"));
  CHECK(contains(message_of<ShapeError>([&] { cross_entropy(x, Tensor::zeros({6}, DType::i64)); }), "got (7, 10) and (6,)"));
  CHECK_THROWS_AS(cross_entropy(Tensor::zeros({7}), Tensor::zeros({7}, DType::i64)), ShapeError);
  CHECK_THROWS_AS(cross_entropy(x, Tensor()), ShapeError);
  CHECK_THROWS_AS(cross_entropy(x, Tensor::zeros({7})), DTypeError);
  CHECK(contains(message_of<ValueError>([] {
                   binary_cross_entropy_with_logits(Tensor::zeros({2, 2}), Tensor::from<float>({0, 1, 1, 2}, {2, 2}));
                 }),
                 "expected targets in [0, 1]; got 2 at sample 1"));
  CHECK(contains(message_of<ShapeError>([] { mse(Tensor::zeros({2, 3}), Tensor::zeros({2})); }), "[mse]"));
  CHECK_THROWS_AS(l1(Tensor::zeros({}), Tensor::zeros({})), ShapeError);
}

TEST_CASE("options of losses are refused by name", "[losses]") {
  const Variable x(Tensor::zeros({2, 3}));
  const Tensor y = Tensor::zeros({2}, DType::i64);
  CHECK(contains(message_of<ValueError>([&] { cross_entropy(x, y, {.label_smoothing = 1.5}); }),
                 "label_smoothing in [0, 1]; got 1.5"));
  CHECK(contains(message_of<ShapeError>([&] { cross_entropy(x, y, {.class_weights = Tensor::ones({2})}); }),
                 "expected class_weights (3,); got (2,)"));
  CHECK(contains(message_of<ValueError>([&] {
                   cross_entropy(x, y, {.class_weights = Tensor::from<float>({1, -1, 1})});
                 }),
                 "got -1 for class 1"));
  CHECK(
      contains(message_of<ValueError>([&] { smooth_l1(x, x, {.beta = 0}); }), "[smooth_l1] expected a finite beta > 0; got 0"));
  const auto weigh = [&](const Tensor& losses, const Tensor& w) { return [=] { class_weighted(losses, y, w); }; };
  CHECK(contains(message_of<ShapeError>(weigh(Tensor::ones({2, 3}), Tensor::ones({3}))), "expected losses (N); got (2, 3)"));
  CHECK(contains(message_of<ShapeError>(weigh(Tensor::ones({3}), Tensor::ones({3}))), "one label for each of (3,); got (2,)"));
  CHECK(contains(message_of<ShapeError>(weigh(Tensor::ones({2}), Tensor())), "expected class_weights (C); got none"));
  CHECK(contains(message_of<ValueError>(weigh(Tensor::ones({2}), Tensor::full({3}, -1))), "got -1 for class 0"));
  CHECK(contains(message_of<ValueError>(weigh(Tensor::ones({2}), Tensor::ones({0}))), "expected labels in [0, 0); got 0"));
  CHECK(contains(message_of<ValueError>([&] { hinge(x, y, {.margin = -1}); }), "[hinge] expected a finite margin > 0; got -1"));
}

TEST_CASE("an empty batch has no losses", "[losses]") {
  CHECK(cross_entropy(Tensor::zeros({0, 3}), Tensor::zeros({0}, DType::i64)).shape() == Shape{0});
}
