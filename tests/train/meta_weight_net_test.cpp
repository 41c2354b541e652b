#include "train/meta_weight_net.h"

#include <cmath>
#include <numeric>

#include "autograd/jvp.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "optim/sgd.h"
#include "tests/heap.h"
#include "tests/train/meta_problem.h"
#include "train/learn_to_reweight.h"

using namespace heft;
using namespace heft::test;
using train::MetaWeightNet;
using Rule = train::MetaWeightNetOptions::Rule;
using Doubles = std::vector<double>;

namespace {

constexpr double kEta = 0.3;

// V written out: its parameters one after another, as Module::parameters() lists them.
struct PlainV {
  std::size_t hidden;
  bool normalise;
  Doubles theta;

  PlainV(Module& v, std::size_t units, bool normalised) : hidden(units), normalise(normalised) {
    for (const Variable& p : v.parameters())
      for (const double x : p.value().to_vector<double>()) theta.push_back(x);
  }
  Doubles shares(const Doubles& losses) const {
    Doubles p;
    for (const double loss : losses) {
      double logit = theta[3 * hidden];
      for (std::size_t k = 0; k < hidden; ++k)
        logit += theta[2 * hidden + k] * std::max(0.0, theta[k] * loss + theta[hidden + k]);
      p.push_back(1 / (1 + std::exp(-logit)));
    }
    const double total = normalise ? std::accumulate(p.begin(), p.end(), 0.0) : static_cast<double>(p.size());
    for (double& share : p) share /= total;
    return p;
  }
};

void check_meta_weight_net(const ModulePtr& net, bool normalise) {
  constexpr double v_rate = 20;
  const data::Batch batch = random_batch(6, 1), meta = random_batch(9, 2);
  Bilevel problem(*net, batch, meta, kEta);
  const auto weigher = std::make_shared<MetaWeightNet>(
      train::MetaWeightNetOptions{.hidden = 7, .normalise = normalise, .rule = Rule::sgd, .lr = v_rate, .weight_decay = 0});
  weigher->net().astype(DType::f64);
  PlainV v(weigher->net(), 7, normalise);
  REQUIRE(v.theta.size() == 22);

  const Doubles p = v.shares(problem.losses());
  Doubles of_p, of_theta;
  constexpr double h = 1e-5;
  const auto difference = [&](double& x, const auto& objective) {
    const double at = x;
    x = at + h;
    const double above = objective();
    x = at - h;
    const double below = objective();
    x = at;
    return (above - below) / (2 * h);
  };
  Doubles moved = p;
  for (double& share : moved) of_p.push_back(difference(share, [&] { return problem.meta_loss(moved); }));
  for (double& x : v.theta) of_theta.push_back(difference(x, [&] { return problem.meta_loss(v.shares(problem.losses())); }));

  optim::SGD opt(net->parameters(), {.lr = kEta}, weigher);
  const std::uint64_t sweeps = backward_count(), products = jvp_count();
  const double want_meta_loss = problem.meta_loss(p);
  const train::MetaStep step = weigher->step(*net, opt, batch, meta);
  CHECK(backward_count() - sweeps == 4);  // one of them of V
  CHECK(jvp_count() - products == 1);
  CHECK(step.losses.to_vector<double>() == problem.losses());
  CHECK(step.outputs.shape() == Shape{6, kClasses});
  CHECK(weigher->meta_loss() == Approx(want_meta_loss).epsilon(1e-12));
  for (std::size_t i = 0; i < 6; ++i) CHECK(weigher->meta_gradient()[i] == Approx(of_p[i]).epsilon(1e-6).margin(1e-9));

  Doubles gradient;
  for (const Variable& parameter : weigher->net().parameters())
    for (const double g : parameter.grad().to_vector<double>()) gradient.push_back(g);
  double largest = 0;
  for (std::size_t k = 0; k < gradient.size(); ++k) {
    INFO("parameter " << k << " of V");
    CHECK(gradient[k] == Approx(of_theta[k]).epsilon(1e-5).margin(1e-9));
    largest = std::max(largest, std::abs(gradient[k]));
  }
  CHECK(largest > 1e-5);

  // The update: V has moved, and the real step has its new weights.
  for (std::size_t k = 0; k < gradient.size(); ++k) v.theta[k] -= v_rate * gradient[k];
  const PlainV now(weigher->net(), 7, normalise);
  for (std::size_t k = 0; k < gradient.size(); ++k) CHECK(now.theta[k] == Approx(v.theta[k]).epsilon(1e-12));
  const Doubles after = now.shares(problem.losses());
  for (std::size_t i = 0; i < 6; ++i) CHECK(weigher->weights()[i] == Approx(6 * after[i]).epsilon(1e-12));
  CHECK(std::abs(after[0] - p[0]) > 1e-6);
  problem.check_parameters(problem.stepped(after));
}

}  // namespace

TEST_CASE("Meta-Weight-Net: every meta gradient and the step against the bilevel problem by brute force", "[train][meta]") {
  for (const bool normalise : {true, false}) {
    INFO("normalise " << normalise);
    check_meta_weight_net(small_mlp(), normalise);
    check_meta_weight_net(small_conv_net(), normalise);
  }
}

TEST_CASE("Meta-Weight-Net: running statistics see the training batch once, virtual passes leave no trace", "[train][meta]") {
  const data::Batch batch = random_batch(6, 1), meta = random_batch(9, 2);
  const ModulePtr plain = small_conv_net(), net = small_conv_net();
  const auto weigher = std::make_shared<MetaWeightNet>();
  optim::SGD opt(net->parameters(), {.lr = kEta}, weigher);
  (*plain)(batch.images);
  const auto want = plain->state();

  // A meta batch that cannot be: what it has disturbed is put back.
  data::Batch bad = meta;
  bad.labels = Tensor::full({9}, kClasses).astype(DType::i64);
  const auto v = weigher->state();
  CHECK_THROWS_AS(weigher->step(*net, opt, batch, bad), ValueError);
  check_same_state(net->state(), want);
  check_same_state(weigher->state(), v);

  weigher->step(*net, opt, batch, meta);
  CHECK(net->state().at("norm.num_batches_tracked").item() == 2);
  (*plain)(batch.images);
  for (const auto& [name, buffer] : plain->named_buffers())
    CHECK(net->state().at(name).to_vector<double>() == plain->state().at(name).to_vector<double>());
}

TEST_CASE("Meta-Weight-Net: in evaluation mode the running statistics are constants of every pass", "[train][meta]") {
  const ModulePtr net = small_conv_net();
  net->eval();
  check_meta_weight_net(net, true);
  CHECK(net->state().at("norm.num_batches_tracked").item() == 0);
}

TEST_CASE("Meta-Weight-Net: f32 in the layouts of convolutions, as in double", "[train][meta]") {
  const auto run = [](DType dtype) {
    manual_seed(5);
    const ModulePtr net = models::lenet5({.classes = kClasses, .image_size = 12});
    const auto weigher = std::make_shared<MetaWeightNet>(train::MetaWeightNetOptions{.lr = 0.05});
    net->astype(dtype);
    optim::SGD opt(net->parameters(), {.lr = 0.05, .momentum = 0.9}, weigher);
    Doubles result;
    for (std::uint64_t step = 0; step < 3; ++step) {
      data::Batch batch = random_batch(6, step), meta = random_batch(9, 10 + step);
      for (data::Batch* b : {&batch, &meta}) b->images = normal({b->size(), 1, 12, 12}, 20 + step, DType::f32).astype(dtype);
      weigher->step(*net, opt, batch, meta);
      for (const double w : weigher->weights()) result.push_back(w);
      for (const double g : weigher->meta_gradient()) result.push_back(10 * g);
    }
    return result;
  };
  const Doubles single = run(DType::f32), twice = run(DType::f64);
  for (std::size_t i = 0; i < twice.size(); ++i) CHECK(single[i] == Approx(twice[i]).margin(2e-4));
}

TEST_CASE("Meta-Weight-Net: state continues bit for bit with the optimizer it is the reduction of", "[train][meta]") {
  struct Run {
    ModulePtr net = small_conv_net();
    std::shared_ptr<MetaWeightNet> weigher = std::make_shared<MetaWeightNet>();
    optim::SGD opt{net->parameters(), {.lr = 0.1, .momentum = 0.9}, weigher};
    void steps(std::uint64_t from, std::uint64_t to) {
      for (std::uint64_t i = from; i < to; ++i) weigher->step(*net, opt, random_batch(6, 30 + i), random_batch(4, 60 + i));
    }
  };
  Run straight, first, second;
  straight.weigher->load_state(first.weigher->state());
  straight.steps(0, 6);
  first.steps(0, 3);
  second.net->load_state(first.net->state());
  second.opt.load_state(first.opt.state());
  second.steps(3, 6);
  check_same_state(second.net->state(), straight.net->state());
  check_same_state(second.opt.state(), straight.opt.state());
  CHECK(second.opt.state().count("reduction.v.fc1.weight") == 1);

  auto damaged = straight.opt.state();
  damaged.erase("reduction.v_optimizer.fc2.bias.steps");
  const auto before = first.opt.state();
  CHECK(contains(message_of<ValueError>([&] { first.opt.load_state(damaged); }), "fc2.bias.steps"));
  check_same_state(first.opt.state(), before);
  CHECK_THROWS_AS(first.weigher->load_state({}), ValueError);
}

TEST_CASE("Meta-Weight-Net: learns that large losses are wrong labels", "[train][meta]") {
  manual_seed(1);
  const data::Batch batch = two_clouds(60, 1, true), meta = two_clouds(20, 2, false);
  const ModulePtr net = models::mlp({.inputs = 2, .hidden = {}, .classes = 2});
  const auto weigher = std::make_shared<MetaWeightNet>(train::MetaWeightNetOptions{.lr = 0.01});
  optim::SGD opt(net->parameters(), {.lr = 0.5}, weigher);
  for (int step = 0; step < 200; ++step) weigher->step(*net, opt, batch, meta);
  double flipped = 0, clean = 0;
  for (std::size_t i = 0; i < 60; ++i) (i % 3 == 0 ? flipped : clean) += weigher->weights()[i];
  CHECK(flipped / 20 < 0.2 * clean / 40);
  const Doubles curve = weigher->weigh_losses(Tensor::from<float>({0.1f, 3})).value().to_vector<double>();
  CHECK(curve[1] < curve[0]);
}

TEST_CASE("Meta-Weight-Net: options", "[train][meta]") {
  CHECK(
      contains(message_of<ValueError>([] { MetaWeightNet({.hidden = 0}); }), "[meta_weight_net] expected hidden >= 1; got 0"));
  CHECK_THROWS_AS(MetaWeightNet({.lr = -1}), ValueError);
  CHECK_THROWS_AS(MetaWeightNet({.rule = Rule::sgd, .weight_decay = -1}), ValueError);
  MetaWeightNet weigher;
  CHECK(weigher.net().parameter_count() == 301);
  // Sigmoids that underflow: no weights, no NaN.
  for (Variable& p : weigher.net().parameters()) p.set_value(p.value() * 0.0);
  weigher.net().parameters().back().set_value(Tensor::full({1}, -200));
  const ModulePtr net = small_mlp();
  const auto shared = std::shared_ptr<MetaWeightNet>(&weigher, [](MetaWeightNet*) {});
  optim::SGD opt(net->parameters(), {.lr = kEta}, shared);
  weigher.step(*net, opt, random_batch(4, 1), random_batch(4, 2));
  CHECK(weigher.weights() == Doubles(4, 0));
}

namespace {

void check_memory_is_flat(int steps) {
  const data::Batch batch = random_batch(4, 1, DType::f32), meta = random_batch(4, 2, DType::f32);
  const auto run = [&](const std::shared_ptr<train::MetaReweighter>& weigher) {
    const ModulePtr net = models::mlp({.inputs = kSide * kSide, .hidden = {}, .classes = kClasses});
    optim::SGD opt(net->parameters(), {.lr = 0.01, .momentum = 0.9}, weigher);
    std::size_t early = 0, heap = 0;
    for (int step = 0; step < steps; ++step) {
      weigher->step(*net, opt, batch, meta);
      if (step == 10) early = memory_stats().bytes_in_use;
      if (step == 50) heap = heft::test::heap_bytes();
    }
    // A leak would be bytes a step; some hundreds move about on their own.
    CHECK(heft::test::heap_bytes() <= heap + 4096 + static_cast<std::size_t>(steps));
    CHECK(memory_stats().bytes_in_use == early);
  };
  const int threads = num_threads();
  set_num_threads(1);  // the steps are too small to share
  run(std::make_shared<train::LearnToReweight>());
  run(std::make_shared<MetaWeightNet>(train::MetaWeightNetOptions{.hidden = 4}));
  set_num_threads(threads);
}

}  // namespace

TEST_CASE("meta reweighters: a hundred steps leak nothing", "[train][meta][memory]") { check_memory_is_flat(100); }
TEST_CASE("meta reweighters: ten thousand steps leak nothing", "[train][meta][memory][slow]") { check_memory_is_flat(10'000); }
