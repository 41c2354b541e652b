#include "train/learn_to_reweight.h"

#include <numeric>

#include "autograd/jvp.h"
#include "optim/sgd.h"
#include "tests/train/meta_problem.h"

using namespace heft;
using namespace heft::test;
using train::LearnToReweight;

namespace {

constexpr double kEta = 0.3;

void check_l2rw(const ModulePtr& net) {
  const data::Batch batch = random_batch(6, 1), meta = random_batch(9, 2);
  Bilevel problem(*net, batch, meta, kEta);
  std::vector<double> differences, p;
  for (std::size_t i = 0; i < 6; ++i) {
    constexpr double h = 1e-5;
    std::vector<double> eps(6, 0);
    eps[i] = h;
    const double above = problem.meta_loss(eps);
    eps[i] = -h;
    differences.push_back((above - problem.meta_loss(eps)) / (2 * h));
  }
  const std::vector<double> u = problem.slopes();
  for (const double slope : u) p.push_back(std::max(0.0, -slope));
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  REQUIRE(total > 0);
  for (double& share : p) share /= total;
  CHECK(std::count(p.begin(), p.end(), 0.0) > 0);  // some samples are against the meta set
  CHECK(std::count(p.begin(), p.end(), 0.0) < 6);

  const auto weigher = std::make_shared<LearnToReweight>();
  optim::SGD opt(net->parameters(), {.lr = kEta}, weigher);
  const std::uint64_t sweeps = backward_count(), products = jvp_count();
  const train::MetaStep step = weigher->step(*net, opt, batch, meta);
  CHECK(backward_count() - sweeps == 2);
  CHECK(jvp_count() - products == 1);
  CHECK(step.losses.to_vector<double>() == problem.losses());
  CHECK(step.outputs.shape() == Shape{6, kClasses});
  REQUIRE(weigher->meta_gradient().size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    INFO("sample " << i);
    CHECK(weigher->meta_gradient()[i] == Approx(u[i]).epsilon(1e-9));
    CHECK(weigher->meta_gradient()[i] == Approx(differences[i]).epsilon(1e-6).margin(1e-9));
    CHECK(weigher->weights()[i] == Approx(6 * p[i]).epsilon(1e-9));
  }
  problem.check_parameters(problem.stepped(p));
}

}  // namespace

TEST_CASE("L2RW: weights, meta gradients and the step against brute force and finite differences", "[train][meta]") {
  SECTION("a perceptron") { check_l2rw(small_mlp()); }
  SECTION("convolutions and batch norm in training mode") { check_l2rw(small_conv_net()); }
}

TEST_CASE("L2RW: where every sample is against the meta set, all weights are zero", "[train][meta]") {
  const ModulePtr net = small_mlp();
  const auto weigher = std::make_shared<LearnToReweight>();
  optim::SGD opt(net->parameters(), {.lr = kEta}, weigher);
  data::Batch meta = random_batch(1, 2), batch = meta;
  batch.labels = Tensor::from<std::int64_t>({(meta.labels.item<std::int64_t>() + 1) % kClasses});
  // With logits all but equal, raising one class lowers the other.
  for (Variable& p : net->parameters()) p.set_value(p.value() * 0.01);
  const auto before = net->state();
  weigher->step(*net, opt, batch, meta);
  CHECK(weigher->meta_gradient()[0] > 0);
  CHECK(weigher->weights() == std::vector<double>{0});
  CHECK(weigher->effective_sample_size() == 0);
  check_same_state(net->state(), before);
}

TEST_CASE("L2RW: running statistics see the training batch once and the meta batch never", "[train][meta]") {
  const data::Batch batch = random_batch(6, 1), meta = random_batch(9, 2);
  const ModulePtr plain = small_conv_net(), net = small_conv_net();
  (*plain)(batch.images);
  const auto weigher = std::make_shared<LearnToReweight>();
  optim::SGD opt(net->parameters(), {.lr = kEta}, weigher);
  weigher->step(*net, opt, batch, meta);
  const auto want = plain->state(), got = net->state();
  for (const auto& [name, buffer] : plain->named_buffers()) {
    INFO(name);
    CHECK(got.at(name).to_vector<double>() == want.at(name).to_vector<double>());
  }
  CHECK(got.at("norm.num_batches_tracked").item() == 1);
  CHECK(got.at("norm.running_mean").to_vector<double>() != std::vector<double>(4, 0));
}

TEST_CASE("L2RW: mislabelled points weigh less", "[train][meta]") {
  manual_seed(1);
  const data::Batch batch = two_clouds(60, 1, true), meta = two_clouds(8, 2, false);
  const ModulePtr net = models::mlp({.inputs = 2, .hidden = {}, .classes = 2});
  const auto weigher = std::make_shared<LearnToReweight>();
  optim::SGD opt(net->parameters(), {.lr = 0.1}, weigher);
  double flipped = 0, clean = 0, first = 0;
  for (int step = 0; step < 50; ++step) {
    weigher->step(*net, opt, batch, meta);
    if (step == 0) first = weigher->meta_loss();
    for (std::size_t i = 0; i < 60; ++i) (i % 3 == 0 ? flipped : clean) += weigher->weights()[i];
  }
  CHECK(flipped + clean == Approx(50 * 60));
  CHECK(flipped / 20 < 0.25 * clean / 40);  // per sample
  CHECK(weigher->meta_loss() < 0.5 * first);
  CHECK(weigher->diagnostics().back() == std::pair<std::string, double>{"meta_loss", weigher->meta_loss()});
}

TEST_CASE("meta reweighters take a loss for each of the two batches", "[train][meta]") {
  const data::Batch batch = random_batch(6, 1), meta = random_batch(9, 2);
  const train::Loss doubled = [](const Variable& y, const Tensor& labels) { return cross_entropy(y, labels) * 2.0; };
  const auto run = [&](const train::MetaStepOptions& options) {
    const ModulePtr net = small_mlp();
    const auto weigher = std::make_shared<LearnToReweight>();
    optim::SGD opt(net->parameters(), {.lr = kEta}, weigher);
    const double loss = weigher->step(*net, opt, batch, meta, options).losses.to_vector<double>()[0];
    return std::vector<double>{loss, weigher->meta_loss(), weigher->meta_gradient()[0]};
  };
  const std::vector<double> plain = run({}), both = run({.loss = doubled}), one = run({.meta_loss = doubled});
  CHECK(both[0] == Approx(2 * plain[0]));
  CHECK(both[1] == Approx(2 * plain[1]));
  CHECK(both[2] == Approx(4 * plain[2]));
  CHECK(one[0] == Approx(plain[0]));
  CHECK(one[1] == Approx(2 * plain[1]));
  CHECK(one[2] == Approx(2 * plain[2]));
}

TEST_CASE("meta reweighters say what they cannot do", "[train][meta]") {
  const ModulePtr net = small_conv_net();
  const data::Batch batch = random_batch(6, 1), meta = random_batch(9, 2);
  const auto weigher = std::make_shared<LearnToReweight>();
  optim::SGD opt(net->parameters(), {.lr = kEta}, weigher), other(net->parameters());
  CHECK(message_of<ValueError>([&] { weigher->step(*net, other, batch, meta); }) ==
        "[l2rw] expected an optimizer built with this reduction; its own is 'mean'");
  CHECK(message_of<ValueError>([&] { opt.reduce(cross_entropy((*net)(batch.images), batch.labels)); }) ==
        "[l2rw] expected losses whose weights step() has found; got 6 losses, 0 weights");
  weigher->step(*net, opt, batch, meta);
  CHECK_THROWS_AS(opt.reduce(cross_entropy((*net)(batch.images), batch.labels)), ValueError);  // used up
  CHECK(contains(message_of<ShapeError>([&] {
                   weigher->step(*net, opt, batch, meta, {.loss = [](const Variable& y, const Tensor&) { return y; }});
                 }),
                 "[l2rw] expected losses of shape (9,), one per sample; got (9, 3)"));
  const train::Loss broken = [](const Variable& y, const Tensor& labels) {
    const Variable losses = cross_entropy(y, labels);
    return labels.numel() == 6 ? losses / 0.0 : losses;
  };
  const auto before = net->state();
  CHECK(message_of<NumericError>([&] { weigher->step(*net, opt, batch, meta, {.loss = broken}); }) ==
        "[l2rw] expected finite losses; the training batch has one that is not");
  for (const auto& [name, parameter] : net->named_parameters())
    CHECK(parameter.value().to_vector<double>() == before.at(name).to_vector<double>());
  const NoGrad no_grad;
  CHECK_THROWS_AS(weigher->step(*net, opt, batch, meta), AutogradError);
}
