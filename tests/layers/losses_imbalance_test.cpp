#include "layers/losses_imbalance.h"

#include "core/error.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "tests/layers/loss_checks.h"

using namespace heft;
using namespace heft::test;

namespace {

const std::vector<std::int64_t> kCounts = {4096, 1000, 256, 30, 16};

}  // namespace

TEST_CASE("LDAM's margins fall with the fourth root of the counts, the rarest class's is max_margin", "[losses]") {
  const Row margins = ldam_margins(kCounts).to_vector<double>();
  const Row expected = {0.125, 0.5 * std::pow(16.0 / 1000, 0.25), 0.25, 0.5 * std::pow(16.0 / 30, 0.25), 0.5};
  for (std::size_t c = 0; c < expected.size(); ++c) CHECK(margins[c] == Approx(expected[c]).epsilon(1e-14));
  CHECK(ldam_margins({1, 16}, 3).to_vector<double>() == Row{3, 1.5});
  CHECK(ldam_margins(Tensor::from<std::int32_t>({1, 16}), 0).to_vector<double>() == Row{0, 0});
}

TEST_CASE("LDAM is the scaled cross entropy with the label's margin taken off", "[losses]") {
  const LdamOptions options{.counts = kCounts, .max_margin = 0.4, .scale = 3};
  const Row margins = ldam_margins(kCounts, 0.4).to_vector<double>();
  check_values(ldam(logits(), labels(), options), [&](Row z, std::size_t c, std::size_t) {
    z[c] -= margins[c];
    for (double& v : z) v *= 3;
    return minus_log_p(z, c);
  });
  check_gradient([&](const Variable& z) { return ldam(z, labels(), options); }, logits());
  // Without margins: cross entropy of the scaled logits. With a margin: more, and more for the rare classes.
  const Variable plain = cross_entropy(logits() * 30.0, labels());
  check_equal(ldam(logits(), labels(), {.counts = kCounts, .max_margin = 0}), plain);
  const Tensor uniform = Tensor::zeros({2, 5});
  const Row both = ldam(uniform, Tensor::from<std::int64_t>({0, 4}), {.counts = kCounts}).value().to_vector<double>();
  CHECK(both[0] > std::log(5.0));
  CHECK(both[1] > both[0]);
}

TEST_CASE("focal loss is (1 - p)^gamma of the cross entropy", "[losses]") {
  for (const double gamma : {0.0, 0.5, 1.0, 2.0}) {
    check_values(focal(logits(), labels(), {.gamma = gamma}), [gamma](const Row& z, std::size_t c, std::size_t) {
      double others = 0;
      for (std::size_t k = 0; k < z.size(); ++k)
        if (k != c) others += probability(z, k);
      return std::pow(others, gamma) * minus_log_p(z, c);
    });
    check_gradient([&](const Variable& z) { return focal(z, labels(), {.gamma = gamma}); }, logits());
  }
  check_equal(focal(logits(), labels()), focal(logits(), labels(), {.gamma = 1}), 0);
  check_equal(focal(logits(), labels(), {.gamma = 0}), cross_entropy(logits(), labels()), 0);
}

TEST_CASE("logit adjustment adds tau log priors to the logits", "[losses]") {
  double total = 0;
  for (const std::int64_t n : kCounts) total += static_cast<double>(n);
  for (const double tau : {0.3, 1.0}) {
    const LogitAdjustmentOptions options{.counts = kCounts, .tau = tau};
    check_values(logit_adjusted_cross_entropy(logits(), labels(), options), [&](Row z, std::size_t c, std::size_t) {
      for (std::size_t k = 0; k < z.size(); ++k) z[k] += tau * std::log(static_cast<double>(kCounts[k]) / total);
      return minus_log_p(z, c);
    });
    check_gradient([&](const Variable& z) { return logit_adjusted_cross_entropy(z, labels(), options); }, logits());
  }
  // tau = 1: the balanced softmax, n_y e^z_y / sum n_c e^z_c.
  check_values(logit_adjusted_cross_entropy(logits(), labels(), {.counts = kCounts}),
               [](const Row& z, std::size_t c, std::size_t) {
                 double sum = 0;
                 for (std::size_t k = 0; k < z.size(); ++k) sum += static_cast<double>(kCounts[k]) * std::exp(z[k]);
                 return -std::log(static_cast<double>(kCounts[c]) * std::exp(z[c]) / sum);
               });
  const Variable plain = cross_entropy(logits(), labels());
  check_equal(logit_adjusted_cross_entropy(logits(), labels(), {.counts = kCounts, .tau = 0}), plain);
  check_equal(logit_adjusted_cross_entropy(logits(), labels(), {.counts = {7, 7, 7, 7, 7}}), plain);
}

TEST_CASE("counts are a list, a vector or an integer tensor", "[losses]") {
  const Tensor tensor = Tensor::from(kCounts);
  const Variable want = ldam(logits(), labels(), {.counts = kCounts});
  check_equal(ldam(logits(), labels(), {.counts = {4096, 1000, 256, 30, 16}}), want, 0);
  check_equal(ldam(logits(), labels(), {.counts = tensor}), want, 0);
  check_equal(ldam(logits(), labels(), {.counts = tensor.astype(DType::i32)}), want, 0);
  check_equal(logit_adjusted_cross_entropy(logits(), labels(), {.counts = tensor}),
              logit_adjusted_cross_entropy(logits(), labels(), {.counts = kCounts}), 0);
  CHECK(contains(message_of<DTypeError>([] { ClassCounts(Tensor::ones({3})); }), "expected integer counts; got f32"));
  CHECK(contains(message_of<ShapeError>([] { ClassCounts(Tensor::ones({3, 1}, DType::i64)); }), "shape (C); got (3, 1)"));
  CHECK(contains(message_of<ShapeError>([] { ClassCounts{Tensor()}; }), "got an undefined tensor"));
}

TEST_CASE("options and counts of losses for imbalance are refused by name", "[losses]") {
  const Variable x(Tensor::zeros({2, 3}));
  const Tensor y = Tensor::zeros({2}, DType::i64);
  const ClassCounts good = {3, 2, 1};
  const auto ldam_message = [&](const LdamOptions& o) { return message_of<ValueError>([&] { ldam(x, y, o); }); };
  CHECK(contains(ldam_message({.counts = good, .max_margin = -1}), "[ldam] expected a finite max_margin >= 0; got -1"));
  CHECK(contains(ldam_message({.counts = good, .scale = 0}), "[ldam] expected a finite scale > 0; got 0"));
  CHECK(contains(ldam_message({}), "[ldam] expected counts, the samples of each class; got none"));
  CHECK(contains(ldam_message({.counts = {3, 0, 1}}), "[ldam] expected counts >= 1; got 0 for class 1"));
  CHECK(contains(message_of<ValueError>([] {
                   ldam_margins({3, -1});
                 }),
                 "[ldam_margins] expected counts >= 1; got -1 for class 1"));
  CHECK(contains(message_of<ValueError>([&] { ldam_margins(good, std::nan("")); }), "max_margin >= 0; got nan"));

  const auto adjust_message = [&](const LogitAdjustmentOptions& o) {
    return message_of<ValueError>([&] { logit_adjusted_cross_entropy(x, y, o); });
  };
  CHECK(contains(adjust_message({.counts = good, .tau = -1}), "expected a finite tau >= 0; got -1"));
  CHECK(contains(adjust_message({.counts = {0, 1, 1}}), "expected counts >= 1; got 0 for class 0"));
  CHECK(contains(adjust_message({}), "[logit_adjusted_cross_entropy] expected counts"));
  CHECK(contains(message_of<ValueError>([&] { focal(x, y, {.gamma = -0.5}); }),
                 "[focal] expected a finite gamma >= 0; got -0.5"));

  const std::string two = "expected a count for each of 3 classes; got 2";
  CHECK(contains(message_of<ShapeError>([&] { ldam(x, y, {.counts = {3, 2}}); }), "[ldam] " + two));
  CHECK(contains(message_of<ShapeError>([&] { logit_adjusted_cross_entropy(x, y, {.counts = {3, 2}}); }), two));
  const Tensor bad = Tensor::full({2}, 3, DType::i64);
  CHECK(contains(message_of<ValueError>([&] { ldam(x, bad, {.counts = good}); }), "[ldam] expected labels in [0, 3); got 3"));
  CHECK(contains(message_of<ValueError>([&] { focal(x, bad); }), "[focal] expected labels"));
  CHECK_THROWS_AS(logit_adjusted_cross_entropy(x, bad, {.counts = good}), ValueError);
  CHECK_THROWS_AS(focal(Tensor::zeros({2}), y), ShapeError);
}
