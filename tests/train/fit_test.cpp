#include "train/fit.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "autograd/elementwise.h"
#include "core/error.h"
#include "core/ops.h"
#include "core/random.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "optim/absgd.h"
#include "tests/catch_compat.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"
#include "train/run_state.h"
#include "train/safetensors.h"

using namespace heft;
using heft::test::blobs;
using heft::test::contains;
using heft::test::message_of;
using heft::test::TemporaryDirectory;
using heft::train::fit;
using heft::train::FitOptions;
using heft::train::FitResult;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

ModulePtr small_net() {
  manual_seed(3);
  return models::mlp({.inputs = test::kBlobSide * test::kBlobSide, .hidden = {16}, .classes = 4});
}

data::Loader small_loader(const data::DatasetPtr& dataset) {
  return data::Loader(dataset, {.batch_size = 32, .shuffle = true, .seed = 5});
}

void check_same_values(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) {
    INFO(name);
    REQUIRE(b.count(name) == 1);
    CHECK(tensor.to_vector<double>() == b.at(name).to_vector<double>());
  }
}

}  // namespace

TEST_CASE("fit: the loop of the README, bit for bit", "[train][fit]") {
  const data::DatasetPtr dataset = blobs({40, 30, 20, 10});
  const ModulePtr ours = small_net(), by_hand = small_net();

  optim::ABSGD opt(by_hand->parameters(), {.lr = 0.1, .lambda = 2});
  data::Loader batches = small_loader(dataset);
  double mean_loss = 0;
  for (int epoch = 1; epoch <= 3; ++epoch) {
    mean_loss = 0;
    for (const data::Batch& batch : batches) {
      Variable losses = cross_entropy((*by_hand)(batch.images), batch.labels);
      opt.zero_grad();
      backward(opt.reduce(losses));
      opt.step();
      for (const double loss : losses.value().to_vector<double>()) mean_loss += loss / 100;
    }
  }

  optim::ABSGD same(ours->parameters(), {.lr = 0.1, .lambda = 2});
  data::Loader same_batches = small_loader(dataset);
  int steps = 0;
  const FitResult result = fit(*ours, same, same_batches,
                               {.epochs = 3, .test = blobs({5, 5, 5, 5}, 2), .on_step = [&](const train::StepReport& step) {
                                  ++steps;
                                  CHECK(step.step <= step.steps);
                                }});
  check_same_values(ours->state(), by_hand->state());
  CHECK(steps == 12);
  REQUIRE(result.epochs.size() == 3);
  CHECK_FALSE(result.stopped);
  const train::EpochReport& last = result.epochs.back();
  CHECK(last.epoch == 3);
  CHECK(last.train_loss == Approx(mean_loss).epsilon(1e-9));
  CHECK(last.train_loss < result.epochs.front().train_loss);
  CHECK(last.images == 100);
  CHECK(last.lambda == 2);
  CHECK(last.lr == 0.1);
  CHECK(last.images_per_second > 0);
  CHECK((last.effective_share > 0 && last.effective_share <= 1));
  REQUIRE(last.test.has_value());
  CHECK(last.test->samples == 20);
  CHECK(last.test->accuracy > 0.5);
  CHECK(ours->training());
}

TEST_CASE("fit: schedules of the learning rate and of lambda count finished epochs", "[train][fit]") {
  const ModulePtr net = small_net();
  optim::ABSGD opt(net->parameters(), {.lr = 0.1, .lambda = 2});
  data::Loader batches = small_loader(blobs({20, 20, 20, 20}));
  const FitResult result =
      fit(*net, opt, batches, {.epochs = 4, .lr_factor = optim::multi_step({3}), .lambda = optim::from(2, 0.5)});
  REQUIRE(result.epochs.size() == 4);
  CHECK(result.epochs[1].lambda == kInf);
  CHECK(result.epochs[1].effective_share == Approx(1));
  CHECK(result.epochs[2].lambda == 0.5);
  CHECK(result.epochs[2].effective_share < 1);
  CHECK(result.epochs[2].lr == Approx(0.1));
  CHECK(result.epochs[3].lr == Approx(0.01));

  optim::SGD sgd(net->parameters());
  CHECK(contains(message_of<ValueError>([&] { fit(*net, sgd, batches, {.lambda = optim::from(2, 0.5)}); }), "'mean'"));
  CHECK_THROWS_AS(fit(*net, sgd, batches, {.epochs = 0}), ValueError);
  CHECK_THROWS_AS(fit(*net, sgd, batches, {.class_weights = Tensor::ones({3})}), ShapeError);
}

TEST_CASE("fit: class weights multiply the losses from their epoch on, not the reported loss", "[train][fit]") {
  const data::DatasetPtr dataset = blobs({40, 30, 20, 10});
  const Tensor weights = Tensor::from(std::vector<double>{0.5, 1, 1.5, 3});
  const ModulePtr ours = small_net(), by_hand = small_net();
  optim::SGD opt(by_hand->parameters(), {.lr = 0.1});
  data::Loader batches = small_loader(dataset);
  double mean_loss = 0;
  for (int epoch = 1; epoch <= 2; ++epoch) {
    mean_loss = 0;
    for (const data::Batch& batch : batches) {
      const Variable logits = (*by_hand)(batch.images);
      for (const double loss : cross_entropy(logits, batch.labels).value().to_vector<double>()) mean_loss += loss / 100;
      opt.minimize(epoch == 1 ? cross_entropy(logits, batch.labels)
                              : cross_entropy(logits, batch.labels, {.class_weights = weights.astype(DType::f32)}));
    }
  }
  optim::SGD same(ours->parameters(), {.lr = 0.1});
  data::Loader same_batches = small_loader(dataset);
  const FitResult result = fit(*ours, same, same_batches, {.epochs = 2, .class_weights = weights, .class_weights_from = 2});
  for (const auto& [name, tensor] : ours->state()) {
    const std::vector<double> a = tensor.to_vector<double>(), b = by_hand->state().at(name).to_vector<double>();
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).margin(1e-6));
  }
  CHECK_FALSE(result.epochs[0].class_weighted);
  CHECK(result.epochs[1].class_weighted);
  CHECK(result.epochs[1].train_loss == Approx(mean_loss).epsilon(1e-5));
}

TEST_CASE("fit: stops when asked, within the epoch", "[train][fit]") {
  const ModulePtr net = small_net();
  optim::SGD opt(net->parameters());
  data::Loader batches = small_loader(blobs({40, 40, 40, 40}));
  int steps = 0;
  const FitResult result = fit(*net, opt, batches, {.epochs = 5, .stop = [&] { return ++steps == 7; }});
  CHECK(result.stopped);
  CHECK(result.epochs.size() == 1);
  CHECK(steps == 7);
}

TEST_CASE("fit: a diverged run is a NumericError", "[train][fit]") {
  const ModulePtr net = small_net();
  optim::SGD opt(net->parameters(), {.lr = 1e30});
  data::Loader batches = small_loader(blobs({40, 40, 40, 40}));
  CHECK_THROWS_AS(fit(*net, opt, batches, {.epochs = 3}), NumericError);

  // Only the evaluation after the one step of the run sees it.
  const ModulePtr other = small_net();
  optim::SGD too_fast(other->parameters(), {.lr = 1e30});
  data::Loader one_batch(blobs({4, 4, 4, 4}), {.batch_size = 16});
  CHECK(contains(message_of<NumericError>([&] {
                   fit(*other, too_fast, one_batch, {.epochs = 1, .test = blobs({4, 4, 4, 4})});
                 }),
                 "diverged"));
}

TEST_CASE("evaluate: accuracies, mode and state", "[train][evaluate]") {
  const ModulePtr net = small_net();
  net->train();
  const data::DatasetPtr dataset = blobs({3, 2, 2, 0});
  const train::Evaluation result = train::evaluate(*net, dataset, {.batch_size = 2});
  CHECK(net->training());
  CHECK(result.samples == 7);
  CHECK(result.confusion.total() == 7);
  REQUIRE(result.per_class_accuracy.size() == 4);
  CHECK_FALSE(result.per_class_accuracy[3].has_value());
  const data::Batch all = dataset->get_batch(std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6});
  double mean = 0;
  for (const double loss : cross_entropy((*net)(all.images), all.labels).value().to_vector<double>()) mean += loss / 7;
  CHECK(result.mean_loss == Approx(mean).epsilon(1e-5));
  CHECK(train::evaluate(*net, dataset, {.loss = [](const Variable&, const Tensor& labels) {
          return Variable(Tensor::full(labels.shape(), 2));
        }}).mean_loss == Approx(2));
  const train::Evaluation sharp = train::evaluate(*net, dataset, {.logit_scale = 1e6});
  CHECK(sharp.calibration_error == Approx(1 - sharp.accuracy).margin(1e-6));  // sure of every answer
  CHECK(sharp.mean_loss == Approx(result.mean_loss).epsilon(1e-5));
}

TEST_CASE("save_run: a resumed run gives the bits of one that was never interrupted", "[train][state]") {
  const TemporaryDirectory folder;
  const data::DatasetPtr dataset = blobs({40, 30, 20, 10});
  const FitOptions options{.epochs = 4, .lr_factor = optim::cosine(4), .lambda = optim::from(1, 0.7)};

  const ModulePtr straight = small_net();
  optim::ABSGD opt(straight->parameters(), {.lr = 0.1});
  data::Loader batches = small_loader(dataset);
  fit(*straight, opt, batches, options);

  const ModulePtr first = small_net();
  optim::ABSGD opt_first(first->parameters(), {.lr = 0.1});
  data::Loader batches_first = small_loader(dataset);
  FitOptions half = options;
  half.epochs = 2;
  fit(*first, opt_first, batches_first, half);
  manual_seed(11);
  next_random_key();
  const RandomState random = random_state();
  train::save_run(folder.file("run"), *first, opt_first, {.epochs = 2, .metadata = {{"note", "x"}}});

  const ModulePtr second = small_net();
  optim::ABSGD opt_second(second->parameters(), {.lr = 0.3});
  data::Loader batches_second = small_loader(dataset);
  const train::RunState run = train::load_run(folder.file("run"), *second, opt_second);
  CHECK(run.epochs == 2);
  CHECK(run.metadata == std::map<std::string, std::string>{{"note", "x"}});
  CHECK(random_state().seed == random.seed);
  CHECK(random_state().next == random.next);
  FitOptions rest = options;
  rest.first_epoch = run.epochs + 1;
  const FitResult result = fit(*second, opt_second, batches_second, rest);
  CHECK(result.epochs.size() == 2);
  check_same_values(second->state(), straight->state());
  check_same_values(opt_second.state(), opt.state());

  const auto names = train::read_safetensors(folder.file("run")).tensors;
  CHECK(names.count("model.fc1.weight") == 1);
  CHECK(names.count("optimizer.reduction.log_u") == 1);
  CHECK(names.count("run.epochs") == 1);
}

TEST_CASE("load_run and load_model: what does not fit is a DataError that names the file", "[train][state]") {
  const TemporaryDirectory folder;
  const ModulePtr net = small_net();
  optim::SGD opt(net->parameters(), {.momentum = 0.9});
  train::save_model(folder.file("model"), *net, {{"model", "mlp"}});
  train::save_run(folder.file("run"), *net, opt, {.epochs = 1});

  const ModulePtr other = models::mlp({.inputs = 5, .hidden = {16}, .classes = 4});
  optim::SGD other_opt(other->parameters());
  CHECK(contains(message_of<DataError>([&] { train::load_run(folder.file("model"), *net, opt); }), "heft.run"));
  CHECK(contains(message_of<DataError>([&] { train::load_run(folder.file("run"), *other, other_opt); }), folder.file("run")));
  CHECK(contains(message_of<DataError>([&] { train::load_model(folder.file("model"), *other); }), "fc1.weight"));

  for (const char* file : {"model", "run"}) {
    manual_seed(99);
    const ModulePtr copy = models::mlp({.inputs = test::kBlobSide * test::kBlobSide, .hidden = {16}, .classes = 4});
    const auto metadata = train::load_model(folder.file(file), *copy);
    CHECK(metadata.count("model") == (file == std::string("model") ? 1u : 0u));
    check_same_values(copy->state(), net->state());
  }
}

TEST_CASE("fit: class weights are the prior, or go inside the exponent; both by hand", "[train][fit]") {
  const data::DatasetPtr dataset = blobs({40, 30, 20, 10});
  const Tensor q = Tensor::from<double>({0.5, 0.7, 1.2, 3});
  const bool prior = GENERATE(true, false);
  const ModulePtr ours = small_net(), by_hand = small_net();
  optim::ABSGD opt(by_hand->parameters(), {.lr = 0.1, .lambda = 2}), same(ours->parameters(), {.lr = 0.1, .lambda = 2});
  data::Loader batches = small_loader(dataset), same_batches = small_loader(dataset);
  for (int epoch = 1; epoch <= 3; ++epoch)
    for (const data::Batch& batch : batches) {
      const Variable losses = cross_entropy((*by_hand)(batch.images), batch.labels);
      const Tensor weights = index_select(q, 0, batch.labels);
      if (epoch < 2) opt.minimize(losses);
      else if (!prior) opt.minimize(losses * weights.astype(DType::f32));
      else {
        const Variable scalar = opt.reduce(losses, {.prior = weights});
        opt.zero_grad();
        backward(scalar);
        opt.step();
      }
    }
  using train::ClassWeightsIn;
  fit(*ours, same, same_batches,
      {.epochs = 3,
       .class_weights = q,
       .class_weights_from = 2,
       .class_weights_in = prior ? ClassWeightsIn::prior : ClassWeightsIn::exponent});
  check_same_values(ours->state(), by_hand->state());
}

TEST_CASE("fit: batches accumulated to a step are one batch", "[train][fit]") {
  const data::DatasetPtr dataset = blobs({40, 30, 20, 10});
  const ModulePtr whole = small_net(), parts = small_net();
  optim::ABSGD one(whole->parameters(), {.lr = 0.05, .lambda = 2}), other(parts->parameters(), {.lr = 0.05, .lambda = 2});
  data::Loader big(dataset, {.batch_size = 32, .shuffle = true, .seed = 5});
  data::Loader small(dataset, {.batch_size = 8, .shuffle = true, .seed = 5});
  const FitResult a = fit(*whole, one, big, {.epochs = 2}), b = fit(*parts, other, small, {.epochs = 2, .accumulate = 4});
  CHECK(b.epochs.back().train_loss == Approx(a.epochs.back().train_loss).epsilon(1e-4));
  CHECK(b.epochs.back().effective_share == Approx(a.epochs.back().effective_share).epsilon(1e-4));
  const std::vector<double> x = whole->state().at("fc1.weight").to_vector<double>();
  const std::vector<double> y = parts->state().at("fc1.weight").to_vector<double>();
  for (std::size_t i = 0; i < x.size(); i += 37) CHECK(y[i] == Approx(x[i]).epsilon(1e-3).margin(1e-5));
}

TEST_CASE("fit: steps whose lambda has no solution are counted", "[train][fit]") {
  const data::DatasetPtr dataset = blobs({40, 30, 20, 10});
  const auto clamped = [&](double kl) {
    const ModulePtr net = small_net();
    optim::ABSGD opt(net->parameters(), {.lr = 0.05, .lambda = 2, .auto_lambda = optim::AutoLambda{.kl = kl}});
    data::Loader batches = small_loader(dataset);
    return fit(*net, opt, batches, {.epochs = 1}).epochs[0];
  };
  CHECK(clamped(0.1).lambda_clamped == 0);
  CHECK(clamped(1e6).lambda_clamped == 1);
  CHECK(clamped(1e6).lambda == Approx(1e-3));  // of the last step, not what the epoch began with
}

TEST_CASE("fit: a network that predicts one class for everything is reported", "[train][fit]") {
  const ModulePtr net = small_net();
  optim::SGD opt(net->parameters(), {.lr = 0.1});
  data::Loader batches = small_loader(blobs({40, 30, 20, 10}));
  const FitResult learnt = fit(*net, opt, batches, {.epochs = 5});
  CHECK_FALSE(learnt.epochs.back().collapsed_to);
  CHECK(learnt.epochs.back().train_accuracy > 0.6);
  opt.set_lr(0);
  std::map<std::string, Tensor> broken = net->state();
  for (auto& [name, tensor] : broken) tensor = Tensor::zeros_like(tensor);
  broken.at("fc2.bias") = Tensor::from<float>({0, 0, 1, 0});
  net->load_state(broken);
  const FitResult collapsed = fit(*net, opt, batches, {.epochs = 1});
  CHECK(collapsed.epochs[0].collapsed_to == 2);
  CHECK(collapsed.epochs[0].train_accuracy == Approx(0.2));
  // A dead network whose last bias follows the labels of the latest batches: training sees several classes predicted, the
  // evaluation one.
  opt.set_lr(0.5);
  broken.at("fc2.bias") = Tensor::zeros_like(broken.at("fc2.bias"));
  net->load_state(broken);
  for (Variable& parameter : opt.parameters())
    if (parameter.name() != "fc2.bias") parameter.set_requires_grad(false);
  const data::DatasetPtr even = blobs({30, 30, 30, 30});
  data::Loader even_batches(even, {.batch_size = 8, .shuffle = true, .seed = 3});
  const FitResult dead = fit(*net, opt, even_batches, {.epochs = 3, .test = even});
  for (const train::EpochReport& epoch : dead.epochs) {
    CHECK(epoch.test->accuracy == Approx(0.25));
    CHECK(epoch.collapsed_to);
  }
  CHECK(dead.epochs.back().train_accuracy > 0);
  for (Variable& parameter : opt.parameters()) parameter.set_requires_grad(true);
  // Where nearly all labels are of one class, predicting it is no collapse.
  data::Loader uneven = small_loader(blobs({1, 1, 97, 1}));
  CHECK_FALSE(fit(*net, opt, uneven, {.epochs = 1}).epochs[0].collapsed_to);
}
