// A run that is resumed at any of its steps gives the bits of one that was never interrupted: weights, optimizer, and what is
// written of it.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "layers/activation.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/models.h"
#include "layers/sequential.h"
#include "optim/absgd.h"
#include "tests/catch_compat.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"
#include "train/metrics_log.h"
#include "train/recipe.h"
#include "train/recorder.h"
#include "train/run_state.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::test::read_text;
using heft::test::TemporaryDirectory;
using train::Recipe;

namespace {

using Lines = std::vector<std::string>;

// Timings aside.
std::string line_of(const train::EpochReport& report) {
  nlohmann::json line = nlohmann::json::parse(train::metrics_line(report));
  for (const char* key : {"seconds", "images_per_second"}) line.erase(key);
  return line.dump();
}

// Everything about a run that has to come out the same.
struct Outcome {
  Lines epochs = {};
  std::map<std::string, std::string> files = {};
  std::map<std::string, Tensor> net = {}, optimizer = {};
};

void check_same(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) {
    INFO(name);
    REQUIRE(b.count(name) == 1);
    REQUIRE(tensor.to_vector<double>() == b.at(name).to_vector<double>());
  }
}

// Trains in `folder`, on from its state if there is one, until `steps` batches have been seen (0: to the end); saves there.
Outcome train_some(const TemporaryDirectory& folder, train::Setup setup, std::int64_t steps) {
  Outcome outcome;
  train::RunState before;
  const std::string path = folder.file("state.safetensors");
  if (std::filesystem::exists(path)) before = train::load_run(path, *setup.net, *setup.optimizer);
  if (setup.memory && !before.loss.empty()) setup.memory->load_state(before.loss);
  setup.fit.first_epoch = before.epochs + 1;
  setup.fit.part = before.part;
  train::Recorder recorder(
      folder.path(), *setup.loader,
      {.first_epoch = before.epochs + 1, .state = before.records, .accumulate = setup.fit.accumulate, .samples = 3});
  setup.fit.on_batch = [&](const train::BatchReport& report) { recorder.add(report); };
  setup.fit.on_epoch = [&](const train::EpochReport& report) {
    outcome.epochs.push_back(line_of(report));
    recorder.end_epoch(report);
  };
  setup.fit.on_checkpoint = [&](int epoch, const train::EpochPart& part) {
    train::save_run(path, *setup.net, *setup.optimizer,
                    {.epochs = epoch - 1,
                     .part = std::make_shared<train::EpochPart>(part),
                     .loss = setup.memory ? setup.memory->state() : std::map<std::string, Tensor>{},
                     .records = recorder.state()});
  };
  std::int64_t seen = 0;
  setup.fit.on_step = [&](const train::StepReport&) { ++seen; };
  setup.fit.stop = [&] { return steps > 0 && seen >= steps; };
  train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
  for (const char* name : {"steps.jsonl", "snapshots.jsonl", "samples.json"})
    outcome.files[name] = read_text(folder.file(name));
  outcome.net = setup.net->state();
  outcome.optimizer = setup.optimizer->state();
  return outcome;
}

}  // namespace

TEST_CASE("resume: from any step of a run, bit for bit", "[train][resume][slow]") {
  const TemporaryDirectory data;
  test::write_blobs(data, {70, 60, 60, 50}, {10, 10, 10, 10});
  Recipe recipe{.data = {.data = "idx", .dir = data.path()}, .model = "mlp", .epochs = 3, .batch_size = 80};
  const int kind = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(kind);
  if (kind == 0) {  // lambda solved for on the losses of each epoch, deferred weights, augmentation
    recipe.optimizer = "absgd";
    recipe.lambda_auto = "ess-epoch:0.6";
    recipe.lambda_from = 2;
    recipe.class_weights = "deferred";
    recipe.class_weights_from = 3;
    recipe.augment = "crop-flip";
  } else if (kind == 1) {  // steps of two batches, of which an epoch's last has one; wrong labels
    recipe.optimizer = "abadam";
    recipe.lambda = -2;
    recipe.lambda_from = 1;
    recipe.accumulate = 2;
    recipe.batch_size = 50;
    recipe.data.noise = "symmetric:0.3";
  } else if (kind == 2) {  // clean batches, two to their own epoch
    recipe.reweight = "meta_weight_net";
    recipe.data.meta_per_class = 25;
    recipe.batch_size = 40;
    recipe.augment = "crop-flip";
  } else if (kind == 3) {  // a loss with a memory, pruned before epochs 2 and 3
    recipe.loss = "truncated_gce";
    recipe.loss_options = {{"from", 0.34}, {"every", 0.34}, {"k", 0.35}};
    recipe.data.noise = "symmetric:0.4";
  } else {  // lambda by dual steps, a group's weights, mixed images
    recipe.optimizer = "absgd";
    recipe.lambda_auto = "dual:0.2";
    recipe.lambda_from = 1;
    recipe.mixup = 0.4;
    recipe.sampling = "balanced";
  }
  const train::DataSets sets = train::load_datasets(train::resolved(recipe).data);
  const TemporaryDirectory straight_folder;
  const Outcome straight = train_some(straight_folder, train::prepare(recipe, sets), 0);
  REQUIRE(straight.epochs.size() == 3);
  const std::int64_t batches = train::prepare(recipe, sets).loader->size();
  for (std::int64_t stop = 1; stop <= 3 * batches; ++stop) {
    INFO("stopped after batch " << stop << " of 3 x " << batches);
    const TemporaryDirectory folder;
    const Outcome first = train_some(folder, train::prepare(recipe, sets), stop);
    manual_seed(999);  // another process
    const Outcome second = train_some(folder, train::prepare(recipe, sets), 0);
    check_same(second.net, straight.net);
    check_same(second.optimizer, straight.optimizer);
    REQUIRE(second.files == straight.files);
    Lines epochs = first.epochs;
    epochs.insert(epochs.end(), second.epochs.begin(), second.epochs.end());
    REQUIRE(epochs == straight.epochs);
  }
}

TEST_CASE("resume: the masks of dropout go on too", "[train][resume]") {
  const data::DatasetPtr dataset = test::blobs({40, 30, 20, 10});
  const auto make_net = [] {
    manual_seed(3);
    return sequential({layer<Flatten>(), layer<Linear>({.in_features = test::kBlobSide * test::kBlobSide, .out_features = 16}),
                       layer<ReLU>(), layer<Dropout>({.p = 0.5}), layer<Linear>({.in_features = 16, .out_features = 4})});
  };
  const data::Loader loader(dataset, {.batch_size = 16, .shuffle = true, .seed = 5});
  data::Loader batches = loader;
  const ModulePtr straight = make_net();
  optim::ABSGD opt(straight->parameters(), {.lr = 0.1});
  train::fit(*straight, opt, batches, {.epochs = 2});

  const TemporaryDirectory folder;
  const ModulePtr first = make_net();
  optim::ABSGD opt_first(first->parameters(), {.lr = 0.1});
  train::FitOptions until{.epochs = 2};
  until.checkpoint_due = [](const train::StepReport& step) { return step.epoch == 1 && step.step == 4; };
  until.on_checkpoint = [&](int epoch, const train::EpochPart& part) {
    train::save_run(folder.file("run"), *first, opt_first,
                    {.epochs = epoch - 1, .part = std::make_shared<train::EpochPart>(part)});
  };
  batches = loader;
  train::fit(*first, opt_first, batches, until);
  check_same(first->state(), straight->state());  // saving changes nothing

  const ModulePtr second = make_net();
  optim::ABSGD opt_second(second->parameters(), {.lr = 0.3});
  const train::RunState run = train::load_run(folder.file("run"), *second, opt_second);
  REQUIRE(run.part != nullptr);
  CHECK(run.part->batches == 4);
  batches = loader;
  train::fit(*second, opt_second, batches, {.epochs = 2, .first_epoch = 1, .part = run.part});
  check_same(second->state(), straight->state());
}

TEST_CASE("resume: a part of an epoch that cannot be is refused", "[train][resume]") {
  const data::DatasetPtr dataset = test::blobs({40, 30, 20, 10});
  manual_seed(3);
  const ModulePtr net = models::mlp({.inputs = test::kBlobSide * test::kBlobSide, .hidden = {16}, .classes = 4});
  optim::SGD opt(net->parameters());
  data::Loader batches(dataset, {.batch_size = 16});
  train::EpochPart good;
  train::FitOptions options{.epochs = 1, .stop = [] { return true; }};
  options.on_checkpoint = [&](int, const train::EpochPart& part) { good = part; };
  train::fit(*net, opt, batches, options);
  REQUIRE(good.batches == 1);
  const auto refusal = [&](train::EpochPart part, int accumulate = 1) {
    return message_of<ValueError>([&] {
      train::fit(*net, opt, batches,
                 {.epochs = 1, .part = std::make_shared<train::EpochPart>(std::move(part)), .accumulate = accumulate});
    });
  };
  train::EpochPart part = good;
  part.batches = 8;
  CHECK(contains(refusal(part), "at most 7 batches, 1 a step; got 8"));
  part.batches = 3;
  CHECK(contains(refusal(part, 2), "2 a step; got 3"));
  for (const char* name : {"loss", "lr", "lambda", "images", "predicted", "labels", "correct", "seconds"}) {
    part = good;
    part.sums.erase(name);
    CHECK(contains(refusal(part), std::string("'") + name + "'"));
  }
  part = good;
  part.sums.at("labels") = Tensor::from(std::vector<std::int64_t>{1, 2, 3});
  CHECK(contains(refusal(part), "4 counts as 'labels'"));
  part = good;
  part.sums.at("correct") = optim::number(-1);
  CHECK(contains(refusal(part), "expected a count as 'correct'"));
}
