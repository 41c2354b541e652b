// Every loss of logits and labels, bound as the training loop binds it, at logits of any finite size.
#include <cmath>
#include <limits>

#include "autograd/jvp.h"
#include "autograd/reduce.h"
#include "core/backend.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "layers/losses_imbalance.h"
#include "layers/losses_noise.h"
#include "tests/layers/loss_checks.h"

using namespace heft;
using namespace heft::test;

namespace {

using Loss = std::function<Variable(const Variable& logits, const Tensor& labels)>;

// Of three classes. `batch_indices` stands for the indices of the batch in hand.
std::vector<std::pair<std::string, Loss>> every_loss(const TruncatedGce& truncated, const Tensor& batch_indices) {
  using V = const Variable&;
  using T = const Tensor&;
  const ClassCounts counts = {5000, 300, 1};
  return {
      {"cross_entropy", [](V z, T y) { return cross_entropy(z, y); }},
      {"smoothed", [](V z, T y) { return cross_entropy(z, y, {.label_smoothing = 0.1}); }},
      {"weighted", [w = Tensor::from<double>({0.01, 1, 100})](
                       V z, T y) { return cross_entropy(z, y, {.label_smoothing = 0.1, .class_weights = w}); }},
      {"hinge", [](V z, T y) { return hinge(z, y); }},
      {"binary", [](V z, T y) { return binary_cross_entropy_with_logits(z, one_hot(y, 3, z.dtype()) * 0.5); }},
      {"logistic", [](V z, T y) { return logistic(max(z, {1}), compare<fn::Equal>(y, Tensor::zeros_like(y))); }},
      {"ldam", [=](V z, T y) { return ldam(z, y, {.counts = counts}); }},
      {"ldam x weights",
       [=](V z, T y) {
         return class_weighted(ldam(z, y, {.counts = counts, .scale = 100}), y, Tensor::from<double>({0.01, 1, 4.4}));
       }},
      {"focal", [](V z, T y) { return focal(z, y); }},
      {"focal 0", [](V z, T y) { return focal(z, y, {.gamma = 0}); }},
      {"focal 0.3", [](V z, T y) { return focal(z, y, {.gamma = 0.3}); }},
      {"focal 1.7", [](V z, T y) { return focal(z, y, {.gamma = 1.7}); }},
      {"logit_adjusted", [=](V z, T y) { return logit_adjusted_cross_entropy(z, y, {.counts = counts, .tau = 2}); }},
      {"symmetric", [](V z, T y) { return symmetric_cross_entropy(z, y, {.alpha = 6}); }},
      {"generalized", [](V z, T y) { return generalized_cross_entropy(z, y); }},
      {"generalized 1e-6", [](V z, T y) { return generalized_cross_entropy(z, y, {.q = 1e-6}); }},
      {"truncated", [&](V z, T y) { return truncated(z, y, batch_indices); }},
      {"normalized", [](V z, T y) { return cross_entropy(normalize_logits(z), y); }},
      {"normalized 0.5", [](V z, T y) { return cross_entropy(normalize_logits(z, 0.5), y); }},
      {"normalized 2", [](V z, T y) { return cross_entropy(normalize_logits(z, 2), y); }},
  };
}

// Rows of p = 0, p = 1, ties and nothing at all, with logits up to `size`.
Tensor extreme_logits(double size, DType dtype) {
  const double s = size;
  return Tensor::from<double>({s, -s, 0, -s, -s, s, s, s, s, -s, -s, -s, 0, 0, 0, s, 1, -1, -s, 1, -1}, {7, 3}).astype(dtype);
}

void check_finite(double size, DType dtype) {
  const TruncatedGce truncated(7);
  const Tensor indices = Tensor::arange(7);
  for (const auto& [name, loss] : every_loss(truncated, indices))
    for (const std::int64_t label : {0, 1, 2}) {
      const Variable z(extreme_logits(size, dtype), true);
      const Variable losses = loss(z, Tensor::full({7}, static_cast<double>(label), DType::i64));
      INFO(name << ", logits up to " << size << ", label " << label);
      CHECK(losses.shape() == Shape{7});
      CHECK(all_finite(losses.value()));
      if (name != "truncated")
        for (const double value : losses.value().to_vector<double>()) CHECK(value >= 0);
      CHECK(all_finite(jvp(losses, {{z, Tensor::from<double>({1, -1, 2}).astype(dtype).expand(z.shape())}})));
      backward(sum(losses));
      CHECK(all_finite(z.grad()));
    }
}

}  // namespace

TEST_CASE("losses are finite, in value and gradient, for logits of any finite size", "[losses]") {
  const double largest = std::numeric_limits<float>::max();
  for (const DType dtype : {DType::f32, DType::f64})
    for (const double size : {0.0, 1e-40, 1.0, 20.0, 104.0, 1e4, 1e19, 1e30, largest}) check_finite(size, dtype);
  check_finite(1e308, DType::f64);
  const BackendScope scope(reference_backend());
  for (const double size : {20.0, 1e4, largest}) check_finite(size, DType::f32);
}

TEST_CASE("logits that are not finite show in the losses, but for a masked class", "[losses]") {
  constexpr double kInf = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();
  const TruncatedGce truncated(1);
  const Tensor indices = Tensor::arange(1), y = Tensor::zeros({1}, DType::i64);
  for (const auto& [name, loss] : every_loss(truncated, indices)) {
    INFO(name);
    for (const Row& row : Rows{{1, kInf, 2}, {kInf, 1, 2}, {1, kNaN, 2}, {kNaN, 1, 2}})
      CHECK(std::isnan(loss(Tensor::from(row, {1, 3}).astype(DType::f32), y).value().item()));
  }
  const Tensor masked = Tensor::from<double>({1, -kInf, 2}, {1, 3}), narrow = Tensor::from<double>({1, 2}, {1, 2});
  check_equal(cross_entropy(masked, y), cross_entropy(narrow, y));
  check_equal(focal(masked, y), focal(narrow, y));
  check_equal(generalized_cross_entropy(masked, y), generalized_cross_entropy(narrow, y));
}

TEST_CASE("sure answers keep their digits", "[losses]") {
  const auto y = [](std::int64_t label) { return Tensor::full({1}, static_cast<double>(label), DType::i64); };
  const Tensor far = Tensor::from<float>({1e4f, -1e4f}, {1, 2});
  CHECK(cross_entropy(far, y(1)).value().item() == Approx(2e4));
  CHECK(focal(far, y(1)).value().item() == Approx(2e4));
  CHECK(symmetric_cross_entropy(far, y(1)).value().item() == Approx(2e3 - std::log(1e-4)));
  CHECK(generalized_cross_entropy(far, y(1)).value().item() == Approx(1 / 0.7));
  CHECK(ldam(Tensor::from<float>({-1, 1}, {1, 2}), y(0), {.counts = {1, 1}}).value().item() == Approx(75));
  for (const auto& loss : {focal(far, y(0)), symmetric_cross_entropy(far, y(0)), generalized_cross_entropy(far, y(0))})
    CHECK(loss.value().item() == 0);
  const auto right = binary_cross_entropy_with_logits(Tensor::from<float>({20}), Tensor::ones({1}));
  CHECK(right.value().item() == Approx(std::log1p(std::exp(-20.0))).epsilon(1e-5));
  CHECK(logistic(Tensor::from<float>({20}), y(1)).value().item() == Approx(std::log1p(std::exp(-20.0))).epsilon(1e-5));

  // 1 - p = 1e-5 and q ln p = -1e-9: a difference of numbers near 1 would leave few digits of these or none, in double too.
  const Tensor near = Tensor::from<double>({std::log(1e5 - 1), 0}, {1, 2});
  CHECK(focal(near, y(0)).value().item<double>() == Approx(-1e-5 * std::log1p(-1e-5)).epsilon(1e-10));
  CHECK(generalized_cross_entropy(near, y(0), {.q = 1e-4}).value().item<double>() ==
        Approx(-std::expm1(1e-4 * std::log1p(-1e-5)) / 1e-4).epsilon(1e-10));
}
