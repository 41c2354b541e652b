#include "train/checkpoints.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "layers/models.h"
#include "optim/sgd.h"
#include "tests/catch_compat.h"
#include "tests/train/files.h"
#include "train/best_epoch.h"
#include "train/safetensors.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::test::read_text;
using heft::test::TemporaryDirectory;
using train::Checkpoints;
using train::RunState;

namespace {

struct Run {
  ModulePtr net = models::mlp({.inputs = 4, .hidden = {3}, .classes = 2});
  optim::SGD opt{net->parameters(), {.momentum = 0.9}};
};

std::vector<std::string> kept(const TemporaryDirectory& folder) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder.file("checkpoints"), none))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("Checkpoints: the newest, and those of the last epochs", "[train][checkpoints]") {
  const TemporaryDirectory folder;
  Run run;
  Checkpoints checkpoints(folder.path(), {.keep = 2});
  const auto newest_epochs = [&] { return train::load_run(train::newest_state(folder.path()), *run.net, run.opt).epochs; };
  const auto part = std::make_shared<train::EpochPart>(train::EpochPart{.batches = 3});
  checkpoints.save(*run.net, run.opt, {.epochs = 0, .part = part});
  CHECK(kept(folder).empty());
  CHECK(train::last_kept(folder.path()).empty());
  CHECK(train::load_run(train::newest_state(folder.path()), *run.net, run.opt).part->batches == 3);
  for (int epoch = 9; epoch <= 11; ++epoch) {
    checkpoints.save(*run.net, run.opt, {.epochs = epoch});
    CHECK(newest_epochs() == epoch);
  }
  using Names = std::vector<std::string>;
  CHECK(kept(folder) == Names{"epoch-0010.safetensors", "epoch-0011.safetensors"});
  CHECK(train::last_kept(folder.path()) == folder.file("checkpoints") + "/epoch-0011.safetensors");
  checkpoints.save(*run.net, run.opt, {.epochs = 11, .part = part});  // within epoch 12
  CHECK(kept(folder).size() == 2);
  // A run that went back to epoch 10 leaves nothing of its later epochs.
  checkpoints.save(*run.net, run.opt, {.epochs = 10});
  CHECK(kept(folder) == Names{"epoch-0010.safetensors"});

  folder.write("checkpoints/epoch-x.safetensors", "mine");
  folder.write("checkpoints/notes", "mine");
  Checkpoints none(folder.path(), {.keep = 0});
  none.save(*run.net, run.opt, {.epochs = 12});
  CHECK(kept(folder) == Names{"epoch-x.safetensors", "notes"});
  train::remove_checkpoints(folder.path());
  CHECK_FALSE(std::filesystem::exists(train::newest_state(folder.path())));
  CHECK(kept(folder).size() == 2);
}

TEST_CASE("Checkpoints: due after so many steps, or so much time", "[train][checkpoints]") {
  const TemporaryDirectory folder;
  Run run;
  Checkpoints by_steps(folder.path(), {.steps = 3, .seconds = 1e9});
  for (int round = 0; round < 2; ++round) {
    for (const bool due : {false, false, true, true}) CHECK(by_steps.due() == due);
    by_steps.save(*run.net, run.opt, {.epochs = 1});
  }
  Checkpoints by_time(folder.path(), {.seconds = 1e-9});
  CHECK(by_time.due());
  Checkpoints never(folder.path(), train::read_checkpoint_every("epoch"));
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(never.due());

  CHECK(train::read_checkpoint_every("250").steps == 250);
  CHECK(std::isinf(train::read_checkpoint_every("250").seconds));
  CHECK(train::read_checkpoint_every("0.5min").seconds == 30);
  for (const char* bad : {"", "0", "-3", "2.5", "min", "0min", "-1min", "nanmin", "5 min", "5m", "epochs"}) {
    INFO(bad);
    CHECK(contains(message_of<ValueError>([&] { train::read_checkpoint_every(bad); }), std::string("'") + bad + "'"));
  }
  CHECK(contains(message_of<ValueError>([&] { Checkpoints("x", {.steps = 0}); }), "steps"));
  CHECK(contains(message_of<ValueError>([&] { Checkpoints("x", {.seconds = 0}); }), "seconds"));
  CHECK(contains(message_of<ValueError>([&] { Checkpoints("x", {.keep = -1}); }), "keep"));
}

TEST_CASE("load_run: another version, another model, a bad disk: refused with the reason", "[train][state]") {
  const TemporaryDirectory folder;
  Run run;
  const std::string path = folder.file("state");
  train::save_run(path, *run.net, run.opt, {.epochs = 1, .metadata = {{"note", "x"}}});
  const auto refusal = [&](Run& to) {
    const std::string message = message_of<DataError>([&] { train::load_run(path, *to.net, to.opt); });
    CHECK(contains(message, path));
    return message;
  };
  CHECK(train::read_run_metadata(path) == std::map<std::string, std::string>{{"note", "x"}});

  struct {
    ModulePtr net = models::mlp({.inputs = 4, .hidden = {5}, .classes = 2});
    optim::SGD opt{net->parameters()};
  } wider;
  CHECK(contains(message_of<DataError>([&] { train::load_run(path, *wider.net, wider.opt); }), "fc1.weight"));

  const std::string whole = read_text(path);
  std::string bytes = whole;
  bytes[whole.size() - 1] = static_cast<char>(bytes[whole.size() - 1] ^ 4);
  folder.write("state", bytes);
  CHECK(contains(refusal(run), "tensor 'model.fc2.weight'"));
  bytes = whole;
  bytes[bytes.find("fc1.bias") + 3] = '2';
  folder.write("state", bytes);
  CHECK(contains(refusal(run), "header"));

  train::SafeTensors contents = [&] {
    folder.write("state", whole);
    return train::read_safetensors(path);
  }();
  contents.metadata["heft.run"] = "7";
  train::write_safetensors(path, contents);
  CHECK(contains(refusal(run), "got format '7'"));
  contents.metadata["heft.run"] = "1";
  contents.checksummed = false;
  train::write_safetensors(path, contents);
  CHECK(contains(refusal(run), "expected a checksum"));
  contents.checksummed = true;
  contents.tensors.erase("run.batches");
  train::write_safetensors(path, contents);
  CHECK(contains(refusal(run), "'run.batches'"));
  contents.tensors["run.batches"] = Tensor::from(std::vector<std::int64_t>{-1}, {});
  train::write_safetensors(path, contents);
  CHECK(contains(refusal(run), "a count as 'run.batches'"));
}

TEST_CASE("BestEpoch: by balanced accuracy, on the validation set where there is one", "[train][best]") {
  train::BestEpoch best;
  const auto report = [](int epoch, double test, double validation = -1) {
    train::EpochReport r{.epoch = epoch};
    r.test.emplace().balanced_accuracy = test;
    if (validation >= 0) r.validation.emplace().balanced_accuracy = validation;
    return r;
  };
  CHECK_FALSE(best.add({.epoch = 1}));
  CHECK(best.epoch() == 0);
  CHECK(best.add(report(1, 0.5)));
  CHECK_FALSE(best.add(report(2, 0.5)));  // the first of equals
  CHECK(best.which() == std::string("test"));

  train::BestEpoch held_out;
  CHECK(held_out.add(report(1, 0.9, 0.5)));
  CHECK_FALSE(held_out.add(report(2, 0.99, 0.4)));
  CHECK(held_out.add(report(3, 0.1, 0.6)));
  CHECK(held_out.epoch() == 3);
  train::BestEpoch copy;
  copy.load_state(held_out.state());
  CHECK(copy.epoch() == 3);
  CHECK(copy.balanced_accuracy() == 0.6);
  CHECK(copy.which() == std::string("validation"));
  auto state = held_out.state();
  state["epoch"] = optim::number(1.5);
  CHECK(contains(message_of<ValueError>([&] { copy.load_state(state); }), "'epoch'; got 1.5"));
  state = held_out.state();
  state.erase("balanced_accuracy");
  CHECK(contains(message_of<ValueError>([&] { copy.load_state(state); }), "'balanced_accuracy'"));
}
