#include "layers/losses.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/check_gradients.h"
#include "autograd/reduce.h"
#include "core/error.h"
#include "core/ops.h"
#include "core/random.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

namespace {

constexpr std::int64_t kN = 7, kC = 5;
using Row = std::vector<double>;
using Rows = std::vector<Row>;

Tensor logits() { return random_normal({kN, kC}, 0, 3, DType::f64, Device::cpu(), {.seed = 4}); }
Tensor labels() { return Tensor::from<std::int64_t>({0, 4, 2, 2, 1, 3, 0}); }

Rows rows(const Tensor& x) {
  const Row flat = x.to_vector<double>();
  const auto width = static_cast<std::size_t>(x.size(1));
  Rows all;
  for (std::size_t i = 0; i < flat.size(); i += width)
    all.emplace_back(flat.begin() + static_cast<std::ptrdiff_t>(i), flat.begin() + static_cast<std::ptrdiff_t>(i + width));
  return all;
}

// -log p_c by the definition.
double minus_log_p(const Row& z, std::size_t c) {
  double total = 0;
  for (const double v : z) total += std::exp(v);
  return std::log(total) - z[c];
}

// Compares with loss(row, label), one value per sample.
template <class Formula>
void check_values(const Variable& losses, const Formula& formula) {
  REQUIRE(losses.shape() == Shape{kN});
  const Row got = losses.value().to_vector<double>();
  const Rows z = rows(logits());
  const auto y = labels().to_vector<std::int64_t>();
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == Approx(formula(z[i], static_cast<std::size_t>(y[i]), i)).epsilon(1e-12));
}

void check_gradient(const std::function<Variable(const Variable&)>& loss, const Tensor& at) {
  const GradientCheckReport report = check_gradients([&](const std::vector<Variable>& v) { return loss(v[0]); }, {at});
  INFO(report.message);
  CHECK(report.ok);
  CHECK(report.checked >= at.numel());
}

// Value and gradient at these logits are finite, in both precisions.
void check_finite(const std::function<Variable(const Variable&)>& loss, const Row& values, const Shape& shape) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Variable x(Tensor::from(values, shape).astype(dtype), true);
    const Variable y = loss(x);
    CHECK(all_finite(y.value()));
    backward(sum(y));
    CHECK(all_finite(x.grad()));
  }
}

}  // namespace

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

TEST_CASE("losses stay finite for extreme logits", "[losses]") {
  const Row extreme = {1e4, -1e4, 0, -1e4, -1e4, 1e4, 1e4, 1e4, 1e4};
  const Shape shape{3, 3};
  for (const std::int64_t label : {0, 1, 2}) {
    const Tensor y = Tensor::from<std::int64_t>({label, label, label});
    check_finite([&](const Variable& x) { return cross_entropy(x, y); }, extreme, shape);
    check_finite([&](const Variable& x) { return cross_entropy(x, y, {.label_smoothing = 0.1}); }, extreme, shape);
    check_finite([&](const Variable& x) { return hinge(x, y); }, extreme, shape);
  }
  for (const double t : {0.0, 0.5, 1.0})
    check_finite([&](const Variable& x) { return binary_cross_entropy_with_logits(x, Tensor::full(shape, t)); }, extreme,
                 shape);
  const auto wrong = cross_entropy(Tensor::from<float>({1e4f, -1e4f}, {1, 2}), Tensor::from<std::int64_t>({1}));
  CHECK(wrong.value().item() == Approx(2e4));
  // A sure and right answer keeps its digits: log(1 + e^-20).
  const auto right = binary_cross_entropy_with_logits(Tensor::from<float>({20}), Tensor::ones({1}));
  CHECK(right.value().item() == Approx(std::log1p(std::exp(-20.0))).epsilon(1e-5));
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
  CHECK(contains(message_of<ValueError>([&] { hinge(x, y, {.margin = -1}); }), "[hinge] expected a finite margin > 0; got -1"));
}

TEST_CASE("an empty batch has no losses", "[losses]") {
  CHECK(cross_entropy(Tensor::zeros({0, 3}), Tensor::zeros({0}, DType::i64)).shape() == Shape{0});
}
