// What all robust reductions have in common.
#include <memory>

#include "autograd/elementwise.h"
#include "core/error.h"
#include "core/ops.h"
#include "core/random.h"
#include "layers/losses.h"
#include "optim/chi_square.h"
#include "optim/cvar.h"
#include "optim/focal_weights.h"
#include "optim/group_dro.h"
#include "optim/sgd.h"
#include "optim/top_k.h"
#include "tests/catch_compat.h"
#include "tests/optim/best_response.h"

using namespace heft;
using namespace heft::optim;
using namespace heft::test;

namespace {

struct Kind {
  std::string name;
  std::function<std::shared_ptr<optim::Reduction>()> make;
  bool distribution = true;  // weights average 1
  bool takes_prior = true;
};

template <class T, class Options>
Kind kind(const std::string& name, const Options& options, bool distribution = true, bool takes_prior = true) {
  return {name, [options] { return std::make_shared<T>(options); }, distribution, takes_prior};
}

std::vector<Kind> family() {
  return {kind<CVaR>("cvar", CVaROptions{.alpha = 0.4}),
          kind<ChiSquare>("chi_square penalty", ChiSquareOptions{.lambda = 1.2}),
          kind<ChiSquare>("chi_square ball", ChiSquareOptions{.radius = 0.4}),
          kind<TopK>("top_k", TopKOptions{.share = 0.4}, true, false),
          kind<FocalWeights>("focal_weights", FocalWeightsOptions{}, false),
          kind<GroupDRO>("group_dro", GroupDROOptions{.groups = 2, .eta = 0.3})};
}

// Two groups, which the others do not look at.
SampleInfo about(std::size_t n, const Numbers& q = {}) {
  std::vector<std::int64_t> groups;
  for (std::size_t i = 0; i < n; ++i) groups.push_back(i + 1 == n);
  return {.prior = q.empty() ? Tensor{} : Tensor::from(q), .groups = Tensor::from(groups)};
}

double reported(const optim::Reduction& reduction, const std::string& name) {
  for (const auto& [key, value] : reduction.diagnostics())
    if (key == name) return value;
  FAIL("no '" << name << "' in the diagnostics of " << reduction.name());
  return 0;
}

}  // namespace

TEST_CASE("robust reductions: the weights are N times the gradient of the objective", "[optim][dro]") {
  for (const Kind& k : family()) {
    if (k.name == "focal_weights" || k.name == "group_dro") continue;  // their weights are constants of a larger formula
    for (const bool with_prior : {false, true}) {
      if (with_prior && !k.takes_prior) continue;
      const Numbers losses{0.3, 2.1, 1.4, 3.0, 0.9}, q = with_prior ? Numbers{0.5, 2, 0.3, 1, 1.2} : Numbers{};
      const auto objective = [&](std::size_t i, double h) {
        Numbers moved = losses;
        moved[i] += h;
        const auto reduction = k.make();
        reduction->weigh(moved, about(5, q));
        return reported(*reduction, "objective");
      };
      const Numbers weights = k.make()->weigh(losses, about(5, q));
      INFO(k.name << ", prior " << with_prior);
      for (std::size_t i = 0; i < 5; ++i)
        CHECK(weights[i] / 5 == Approx((objective(i, 1e-6) - objective(i, -1e-6)) / 2e-6).margin(1e-6));
    }
  }
}

TEST_CASE("robust reductions: limits are the mean, or the prior", "[optim][dro]") {
  const Numbers losses{0.3, 2.1, 1.4, 3.0}, q{0.5, 2, 0.3, 1.2};  // of mean 1
  const std::vector<Kind> kinds = {kind<CVaR>("alpha 1", CVaROptions{.alpha = 1}),
                                   kind<ChiSquare>("lambda 1e12", ChiSquareOptions{.lambda = 1e12}),
                                   kind<ChiSquare>("radius 1e-24", ChiSquareOptions{.radius = 1e-24}),
                                   kind<TopK>("k = N", TopKOptions{.k = 4}, true, false),
                                   kind<TopK>("share 1", TopKOptions{.share = 1}, true, false),
                                   kind<FocalWeights>("gamma 0", FocalWeightsOptions{.gamma = 0}),
                                   kind<GroupDRO>("one group", GroupDROOptions{.groups = 1, .eta = 3})};
  const SampleInfo plain{.groups = Tensor::zeros({4}, DType::i64)};
  for (const Kind& k : kinds) {
    INFO(k.name);
    for (const double w : k.make()->weigh(losses, plain)) CHECK(w == Approx(1).epsilon(1e-10));
    if (!k.takes_prior) continue;
    SampleInfo with_prior = plain;
    with_prior.prior = Tensor::from(q);
    const Numbers weights = k.make()->weigh(losses, with_prior);
    for (std::size_t i = 0; i < 4; ++i) CHECK(weights[i] == Approx(q[i]).epsilon(1e-10));
    // Of another mean: a distribution knows shares only, FocalWeights multiplies.
    with_prior.prior = Tensor::from(q) * 3.0;
    CHECK(k.make()->weigh(losses, with_prior)[1] == Approx(k.name == "gamma 0" ? 6 : 2));
  }
  // And the other ends: the largest loss has it all.
  for (const Kind& k :
       {kind<CVaR>("alpha 1e-9", CVaROptions{.alpha = 1e-9}), kind<ChiSquare>("lambda 1e-9", ChiSquareOptions{.lambda = 1e-9}),
        kind<ChiSquare>("radius (N - 1) / 2", ChiSquareOptions{.radius = 1.5}), kind<TopK>("k = 1", TopKOptions{.k = 1}),
        kind<GroupDRO>("eta 1e9", GroupDROOptions{.groups = 2, .eta = 1e9})}) {
    INFO(k.name);
    const Numbers weights = k.make()->weigh(losses, about(4));
    CHECK(weights[3] == Approx(4));
    CHECK(weights[1] == Approx(0).margin(1e-9));
  }
}

TEST_CASE("robust reductions: finite on losses of any size, and averages of 1", "[optim][dro]") {
  for (const Kind& k : family()) {
    const bool any_sign = k.name != "focal_weights";
    const auto reduction = k.make();
    std::vector<Numbers> batches = {{1, 1e30, 2}, {1e30, 1e30, 1e30}, {1e30, 0, 1e308}, {0, 0, 0}, {1e-300, 0, 5}};
    if (any_sign) batches.insert(batches.end(), {{-1e30, 1e30, 2}, {-1e308, 1e308, 1e308}, {-3, -2, -1}});
    for (const Numbers& losses : batches)
      for (const bool with_prior : {false, true}) {
        if (with_prior && !k.takes_prior) continue;
        const Numbers weights = reduction->weigh(losses, about(3, with_prior ? Numbers{1e-30, 2, 0.5} : Numbers{}));
        INFO(k.name << ", losses from " << losses[0] << ", prior " << with_prior);
        for (const double w : weights) CHECK((std::isfinite(w) && w >= 0));
        if (k.distribution) CHECK(dot(weights, {1, 1, 1}) == Approx(3));
        for (const auto& [name, value] : reduction->diagnostics()) {
          INFO(name);
          CHECK(std::isfinite(value));
        }
      }
    // Without mass there is nothing to weigh.
    if (k.takes_prior) CHECK(reduction->weigh(Numbers{1, 2, 3}, about(3, {0, 0, 0})) == Numbers{0, 0, 0});
    CHECK(reduction->weigh(Numbers{2}, {.groups = Tensor::zeros({1}, DType::i64)}).size() == 1);
  }
}

TEST_CASE("robust reductions: NoGrad changes nothing, parts are refused but by the focal weights", "[optim][dro]") {
  for (const Kind& k : family()) {
    INFO(k.name);
    const auto reduction = k.make();
    const Numbers losses{0.5, 2, 1, 3};
    reduction->weigh(losses, about(4));
    const auto diagnostics = reduction->diagnostics();
    const auto state = reduction->state();
    Numbers peeked;
    {
      const NoGrad no_grad;
      peeked = reduction->weigh(Numbers{9, 1, 4, 4}, about(4));
    }
    CHECK(reduction->diagnostics() == diagnostics);
    for (const auto& [name, value] : state) CHECK(reduction->state().at(name).to_vector<double>() == value.to_vector<double>());
    CHECK(reduction->weigh(Numbers{9, 1, 4, 4}, about(4)) == peeked);

    reduction->reduce_part(Tensor::from(losses), about(4));
    if (reduction->in_parts()) {
      const auto whole = k.make();
      reduction->reduce_part(Tensor::from(Numbers{7, 0.1}));
      whole->weigh(Numbers{0.5, 2, 1, 3, 7, 0.1});
      CHECK(reported(*reduction, "objective") == Approx(reported(*whole, "objective")));
      CHECK(reduction->weights() == whole->weights());
    } else {
      CHECK(contains(message_of<ValueError>([&] { reduction->reduce_part(Tensor::from(losses), about(4)); }),
                     "expected one reduce() per step"));
    }
    reduction->finish();
  }
}

TEST_CASE("focal weights are the focal loss's factor, and refuse a loss that is no cross-entropy", "[optim][dro]") {
  const Numbers losses{0, 0.1, 2, 40};
  FocalWeights two, half({.gamma = 0.5});
  const Numbers weights = two.weigh(losses), roots = half.weigh(losses, {.prior = Tensor::from(Numbers{1, 2, 3, 4})});
  double loss = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const double p = std::exp(-losses[i]);
    CHECK(weights[i] == Approx((1 - p) * (1 - p)));
    CHECK(roots[i] == Approx(static_cast<double>(i + 1) * std::sqrt(1 - p)));
    loss -= (1 - p) * (1 - p) * std::log(p) / 4;
  }
  CHECK(two.objective() == Approx(loss));
  CHECK(message_of<ValueError>([&] {
          two.weigh(Numbers{1, 0, -0.25});
        }) == "[focal_weights] expected losses of at least 0, as cross-entropy gives; got -0.25 at sample 2 of 3");
  CHECK(contains(message_of<ValueError>([] { FocalWeights({.gamma = -1}); }), "gamma of at least 0; got -1"));
  check_close(two.weigh(Numbers{-1e-6, 2}), two.weigh(Numbers{0, 2}));
  // Cross-entropy in f32 is below 0 by a little where the label has it all.
  const Tensor logits = random_normal({20000, 10}, 0, 20, DType::f32, Device::cpu(), {.seed = 3});
  CHECK_NOTHROW(two.reduce(cross_entropy(logits, argmax(logits, 1))));
}

TEST_CASE("robust reductions drive SGD to the minimum of their objective", "[optim][dro]") {
  // loss_i = (x_i - theta)^2: the mean's minimum is 2, that of the largest loss 5.
  const Numbers x{0, 0, 0, 0, 10};
  const auto run = [&](const Kind& k, double lr, int steps) {
    Variable theta(Tensor::scalar(1, DType::f32), true);
    const auto reduction = k.make();
    SGD opt({theta}, {.lr = lr}, reduction);
    for (int step = 0; step < steps; ++step) {
      opt.zero_grad();
      backward(opt.reduce(pow(theta - Variable(Tensor::from(x).astype(DType::f32)), 2.0), about(5)));
      opt.step();
    }
    INFO(k.name);
    CHECK(reduction->weights().size() == 5);
    return theta.value().item();
  };
  const auto close_to = [](double value, double want, double margin) { CHECK(value == Approx(want).margin(margin)); };
  close_to(run(kind<CVaR>("alpha 1", CVaROptions{.alpha = 1}), 0.1, 200), 2, 1e-3);
  close_to(run(kind<CVaR>("alpha 0.5", CVaROptions{.alpha = 0.5}), 0.1, 200), 4, 1e-3);  // 1 of 2.5 samples at 10
  close_to(run(kind<TopK>("k 2", TopKOptions{.k = 2}), 0.001, 3000), 5, 0.02);
  close_to(run(kind<ChiSquare>("radius 0.125", ChiSquareOptions{.radius = 0.125}), 0.1, 200), 4, 1e-3);
  close_to(run(kind<ChiSquare>("lambda 1e-3", ChiSquareOptions{.lambda = 1e-3}), 0.001, 3000), 5, 0.02);
  close_to(run(kind<FocalWeights>("gamma 2", FocalWeightsOptions{}), 0.1, 200), 2.06, 0.05);
  close_to(run(kind<GroupDRO>("eta 0.01", GroupDROOptions{.groups = 2, .eta = 0.01}), 0.05, 3000), 5, 0.02);
}
