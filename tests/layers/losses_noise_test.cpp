#include "layers/losses_noise.h"

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "core/error.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "tests/layers/loss_checks.h"

using namespace heft;
using namespace heft::test;

namespace {

// Logits of two classes with these probabilities of class 0.
Tensor logits_of(const Row& p) {
  Row z;
  for (const double v : p) z.insert(z.end(), {std::log(v), std::log(1 - v)});
  return Tensor::from(z, {static_cast<std::int64_t>(p.size()), 2});
}

}  // namespace

TEST_CASE("symmetric cross entropy adds the reverse one", "[losses]") {
  for (const double log_zero : {std::log(1e-4), -4.0}) {
    const SymmetricCrossEntropyOptions options{.alpha = 0.3, .beta = 2, .log_zero = log_zero};
    check_values(symmetric_cross_entropy(logits(), labels(), options), [&](const Row& z, std::size_t c, std::size_t) {
      double reverse = 0;  // - sum_k p_k log(one-hot_k)
      for (std::size_t k = 0; k < z.size(); ++k) reverse -= probability(z, k) * (k == c ? 0 : log_zero);
      return 0.3 * minus_log_p(z, c) + 2 * reverse;
    });
    check_gradient([&](const Variable& z) { return symmetric_cross_entropy(z, labels(), options); }, logits());
  }
  check_equal(symmetric_cross_entropy(logits(), labels(), {.alpha = 1, .beta = 0}), cross_entropy(logits(), labels()), 0);
  check_equal(symmetric_cross_entropy(logits(), labels()),
              symmetric_cross_entropy(logits(), labels(), {.alpha = 0.1, .beta = 1, .log_zero = std::log(1e-4)}));
}

TEST_CASE("generalised cross entropy lies between cross entropy and 1 - p", "[losses]") {
  for (const double q : {0.1, 0.7, 1.0}) {
    check_values(generalized_cross_entropy(logits(), labels(), {.q = q}),
                 [q](const Row& z, std::size_t c, std::size_t) { return (1 - std::pow(probability(z, c), q)) / q; });
    check_gradient([&](const Variable& z) { return generalized_cross_entropy(z, labels(), {.q = q}); }, logits());
  }
  check_equal(generalized_cross_entropy(logits(), labels()), generalized_cross_entropy(logits(), labels(), {.q = 0.7}), 0);
  check_equal(generalized_cross_entropy(logits(), labels(), {.q = 1e-6}), cross_entropy(logits(), labels()), 1e-5);
  const Variable no_entropy = symmetric_cross_entropy(logits(), labels(), {.alpha = 0, .log_zero = -1});
  check_equal(generalized_cross_entropy(logits(), labels(), {.q = 1}), no_entropy);
}

TEST_CASE("truncated GCE keeps or prunes each sample by its index", "[losses]") {
  TruncatedGce gce(5, {.q = 0.7, .k = 0.5});
  CHECK(gce.samples() == 5);
  CHECK(gce.pruned() == 0);
  const Row p = {0.9, 0.2, 0.6};
  const Tensor z = logits_of(p), y = Tensor::zeros({3}, DType::i64), indices = Tensor::from<std::int64_t>({3, 0, 4});
  const auto loss = [](double v) { return (1 - std::pow(v, 0.7)) / 0.7 - (1 - std::pow(0.5, 0.7)) / 0.7; };
  check_equal(gce(z, y, indices), Tensor::from<double>({loss(0.9), loss(0.2), loss(0.6)}));
  CHECK(gce(z, y, indices).value().to_vector<double>()[0] < 0);

  gce.update(z, y, indices);
  CHECK(gce.pruned() == 1);
  CHECK(gce.state().at("kept").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 1, 1, 1, 1});
  const Variable leaf(z, true);
  const Variable pruned = gce(leaf, y, indices);
  check_equal(pruned, Tensor::from<double>({loss(0.9), 0, loss(0.6)}));
  backward(sum(pruned));
  const Row gradient = leaf.grad().to_vector<double>();
  CHECK(gradient[0] != 0);
  CHECK(gradient[2] == 0);
  CHECK(gradient[3] == 0);
  check_gradient([&](const Variable& x) { return gce(x, y, indices); }, z);

  // A sample comes back when it is sure again, wherever it stands in the batch; at p = k it is pruned.
  gce.update(logits_of({0.8, 0.5}), y.slice(0, 0, 2), Tensor::from<std::int32_t>({0, 2}));
  CHECK(gce.state().at("kept").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{1, 1, 0, 1, 1});
}

TEST_CASE("truncated GCE at k = 0 prunes nothing and is GCE but for a constant", "[losses]") {
  TruncatedGce gce(kN, {.q = 0.4, .k = 0});
  gce.update(logits() * 1e6, labels(), Tensor::arange(kN));
  CHECK(gce.pruned() == 0);
  const Variable whole = generalized_cross_entropy(logits(), labels(), {.q = 0.4});
  check_equal(gce(logits(), labels(), Tensor::arange(kN)) + 1 / 0.4, whole);
}

TEST_CASE("truncated GCE's memory is saved and restored", "[losses]") {
  TruncatedGce one(3), two(3);
  const Tensor y = Tensor::zeros({3}, DType::i64), indices = Tensor::arange(3), z = logits_of({0.1, 0.9, 0.3});
  one.update(z, y, indices);
  const auto saved = one.state();
  two.load_state(saved);
  CHECK(two.pruned() == 2);
  check_equal(one(z, y, indices), two(z, y, indices), 0);
  one.update(logits_of({0.9, 0.9, 0.9}), y, indices);
  CHECK(saved.at("kept").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 1, 0});  // a copy

  CHECK(message_of<ValueError>([&] { two.load_state({}); }) ==
        "[TruncatedGce] expected an entry 'kept' in the state; it is missing");
  CHECK(contains(message_of<ShapeError>([&] { two.load_state(TruncatedGce(4).state()); }), "kept of shape (3,); got (4,)"));
  CHECK(contains(message_of<ValueError>([&] {
                   two.load_state({{"kept", Tensor::from<std::uint8_t>({1, 1, 2})}});
                 }),
                 "expected kept of 0 and 1; got 2 for sample 2"));
  CHECK(two.pruned() == 2);
}

TEST_CASE("normalize_logits divides by a power of the norm", "[losses]") {
  for (const double tau : {0.0, 0.5, 1.0, 2.0}) {
    Row expected;
    for (const Row& z : rows(logits())) {
      double square = 0;
      for (const double v : z) square += v * v;
      for (const double v : z) expected.push_back(v / std::pow(std::sqrt(square), tau));
    }
    check_equal(normalize_logits(logits(), tau), Tensor::from(expected));
    check_gradient([&](const Variable& z) { return normalize_logits(z, tau); }, logits());
  }
  check_equal(normalize_logits(logits()), normalize_logits(logits(), 1), 0);
}

TEST_CASE("options of losses for noise are refused by name", "[losses]") {
  const Variable x(Tensor::zeros({2, 3}));
  const Tensor y = Tensor::zeros({2}, DType::i64), indices = Tensor::arange(2);
  const auto symmetric = [&](const SymmetricCrossEntropyOptions& o) {
    return message_of<ValueError>([&] { symmetric_cross_entropy(x, y, o); });
  };
  CHECK(contains(symmetric({.alpha = -1}), "[symmetric_cross_entropy] expected a finite alpha >= 0; got -1"));
  CHECK(contains(symmetric({.beta = -2}), "beta >= 0; got -2"));
  CHECK(contains(symmetric({.log_zero = 0}), "log_zero < 0; got 0"));
  for (const double q : {0.0, 1.5})
    CHECK(contains(message_of<ValueError>([&] { generalized_cross_entropy(x, y, {.q = q}); }), "expected q in [1e-6, 1]; got"));
  CHECK(contains(message_of<ValueError>([] { TruncatedGce(0); }), "[TruncatedGce] expected samples >= 1; got 0"));
  CHECK(contains(message_of<ValueError>([] { TruncatedGce(1, {.q = 2}); }), "q in [1e-6, 1]; got 2"));
  CHECK(contains(message_of<ValueError>([] { TruncatedGce(1, {.k = 1}); }), "k in [0, 1); got 1"));
  CHECK(
      contains(message_of<ValueError>([&] { normalize_logits(x, -1); }), "[normalize_logits] expected tau in [0, 2]; got -1"));
  CHECK(contains(message_of<ShapeError>([] { normalize_logits(Tensor::zeros({3})); }), "expected logits (N, C); got (3,)"));

  const Tensor bad = Tensor::full({2}, 3, DType::i64);
  CHECK(contains(message_of<ValueError>([&] { symmetric_cross_entropy(x, bad); }), "expected labels in [0, 3); got 3"));
  CHECK(contains(message_of<ValueError>([&] { generalized_cross_entropy(x, bad); }), "[generalized_cross_entropy]"));
  TruncatedGce gce(2);
  CHECK(contains(message_of<ValueError>([&] {
                   gce(x, y, Tensor::from<std::int64_t>({0, 2}));
                 }),
                 "[TruncatedGce] expected indices in [0, 2); got 2 at sample 1"));
  CHECK(contains(message_of<ShapeError>([&] { gce(x, y, Tensor::arange(3)); }),
                 "expected indices (2,), one per label; got (3,)"));
  CHECK(contains(message_of<ShapeError>([&] { gce.update(x, y, Tensor()); }), "got none"));
  CHECK(contains(message_of<DTypeError>([&] { gce(x, y, Tensor::zeros({2})); }), "expected integer indices; got f32"));
  CHECK_THROWS_AS(gce.update(x, bad, indices), ValueError);
  CHECK(gce.pruned() == 0);
}
