// heft train as a user interrupts it, or the machine: what --resume goes on with is what would have been.
#ifdef HEFT_CLI_PATH

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/catch_compat.h"
#include "tests/cli/killed.h"
#include "tests/cli/program.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"
#include "train/run_state.h"
#include "train/safetensors.h"

using heft::test::check_same_run;
using heft::test::contains;
using heft::test::heft_command;
using heft::test::metrics_of;
using heft::test::read_text;
using heft::test::Result;
using heft::test::start;
using heft::test::status_after;
using heft::test::TemporaryDirectory;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;

struct Blobs {
  TemporaryDirectory folder;
  Blobs() { heft::test::write_blobs(folder, {90, 80, 80, 70}, {10, 10, 10, 10}); }
  std::string flags() const { return "--data idx --data-dir '" + folder.path() + "' --threads 1 --model mlp --batch-size 32 "; }
  std::string run(const std::string& name) const { return folder.file(name); }
  Result heft(const std::string& arguments) const { return heft_command(folder, arguments); }
};

std::int64_t batches_in(const std::string& state) {
  return heft::train::read_safetensors(state).tensors.at("run.batches").item<std::int64_t>();
}

}  // namespace

TEST_CASE("heft train: 20 steps straight are 10, kill -9, and 10 more, bit for bit", "[cli][resume]") {
  const Blobs data;
  const std::string train = "train --data idx --data-dir " + data.folder.path() +
                            " --threads 1 --model mlp --batch-size 32 --epochs 2 --optimizer absgd --lambda 2 "
                            "--lambda-from-epoch 1 --class-weights deferred --class-weights-from-epoch 2 --augment crop-flip "
                            "--checkpoint-every 10 --out ";
  REQUIRE(data.heft(train + data.run("straight")).exit_code == 0);  // 2 epochs of 10 steps
  const std::string state = data.run("killed") + "/state.safetensors";
  const int status = status_after(start(train + data.run("killed")), state, SIGKILL);
  REQUIRE(fs::exists(state));
  if (WIFSIGNALED(status)) {  // else it was the faster one
    const Result rest = data.heft("train --resume " + data.run("killed"));
    INFO(rest.err);
    REQUIRE((rest.exit_code == 0 || contains(rest.err, "beyond the 2")));  // killed after its last file
  }
  check_same_run(data.run("killed"), data.run("straight"));
}

TEST_CASE("heft train: killed again and again, within epochs and while it saves, it ends as if nothing had been",
          "[cli][resume][slow]") {
  const Blobs data;
  const std::string method = GENERATE(
      std::string("--optimizer absgd --lambda 2 --lambda-from-epoch 2 --class-weights deferred --class-weights-from-epoch 3 "
                  "--augment crop-flip --val-split 0.1"),
      std::string("--optimizer abadam --lambda-auto ess-epoch:0.5 --lambda-from-epoch 1 --accumulate 3 --noise symmetric:0.2"),
      std::string("--reweight meta_weight_net --meta-per-class 26"),
      std::string("--loss truncated_gce --loss-option from=0.3 --loss-option every=0.3"));
  CAPTURE(method);
  const std::string train = "train --data idx --data-dir " + data.folder.path() +
                            " --threads 1 --model mlp --batch-size 32 --epochs 3 --checkpoint-every 1 " + method + " --out ";
  const Result straight = data.heft(train + data.run("straight"));
  INFO(straight.err);
  REQUIRE(straight.exit_code == 0);
  const std::string killed = data.run("killed"), state = killed + "/state.safetensors";
  int kills = 0, within = 0;
  std::string arguments = train + killed;
  for (;;) {
    const int status = status_after(start(arguments), state, SIGKILL, 1 + kills % 4);
    if (WIFEXITED(status)) {
      // 2: it was killed after its last file, and there was nothing left to do.
      REQUIRE((WEXITSTATUS(status) == 0 || (WEXITSTATUS(status) == 2 && metrics_of(killed).size() == 3)));
      break;
    }
    REQUIRE(++kills < 200);
    within += batches_in(state) > 0;
    arguments = "train --resume " + killed;
  }
  WARN(kills << " kills, " << within << " within an epoch");
  CHECK(kills >= 2);
  CHECK(within >= 1);
  check_same_run(killed, data.run("straight"));
  for (const fs::path& folder : {fs::path(killed), fs::path(killed) / "checkpoints"})
    for (const auto& entry : fs::directory_iterator(folder)) CHECK_FALSE(contains(entry.path().string(), ".tmp-"));
}

TEST_CASE("heft train: TERM and Ctrl-C finish the step, save, and leave with 143 and 130", "[cli][resume]") {
  const Blobs data;
  const std::string train = "train " + data.flags() + "--epochs 100000 --lr-schedule constant --checkpoint-every ";
  for (const auto& [signal, code] : {std::pair(SIGTERM, 143), std::pair(SIGINT, 130)}) {
    const std::string run = data.run(std::to_string(signal)), state = run + "/state.safetensors";
    // A state after the first steps says that it trains.
    const int status = status_after(start("train --data idx --data-dir " + data.folder.path() +
                                          " --threads 1 --model mlp --batch-size 16 --epochs 100000 --lr-schedule constant "
                                          "--checkpoint-every 3 --out " +
                                          run),
                                    state, signal);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == code);
    heft::train::SafeTensors saved = heft::train::read_safetensors(state);
    const auto epochs = saved.tensors.at("run.epochs").item<std::int64_t>();
    const Result more = data.heft("train --resume " + run + " --epochs " + std::to_string(epochs + 1));
    INFO(more.err);
    CHECK(more.exit_code == 0);
    CHECK(metrics_of(run).size() == static_cast<std::size_t>(epochs + 1));
  }
}

TEST_CASE("heft train: --resume takes the recipe from the run, and refuses flags that contradict it by name", "[cli][resume]") {
  const Blobs data;
  const std::string run = data.run("run");
  REQUIRE(data.heft("train " + data.flags() + "--epochs 1 --optimizer absgd --lambda inf --lr 0.1 --out " + run).exit_code ==
          0);
  const auto refusal = [&](const std::string& arguments, int exit_code = 2) {
    const Result result = data.heft("train " + arguments);
    INFO(result.err);
    CHECK(result.exit_code == exit_code);
    return result.err;
  };
  CHECK(contains(refusal("--resume " + run), "or --epochs beyond the 1 that the run in "));
  CHECK(contains(refusal("--resume " + run + " --epochs 2 --lr 0.5"), "got --lr, which makes lr 0.5 instead of 0.1"));
  CHECK(contains(refusal("--resume " + run + " --epochs 2 --seed 4"), "--seed"));
  CHECK(contains(refusal("--resume " + run + " --epochs 2 --model lenet5"), "--model"));
  CHECK(contains(refusal("--resume " + run + " --epochs 2 --lambda 5"), "lambda 5.0 instead of null"));
  CHECK(contains(refusal("--resume " + data.run("none"), 3), "none"));
  CHECK(contains(refusal("--resume --out " + data.run("none"), 3), "none"));

  const Result more = data.heft("train --resume " + run + " --epochs 2 --lr 0.1 --threads 2");  // the same flag is none
  CHECK(more.exit_code == 0);
  CHECK(contains(more.err, "the run had 1 threads"));
  // Written again where the weights are those of the best epoch still.
  const std::vector<json> epochs = metrics_of(run);
  const bool last_is_best = epochs[1]["balanced_accuracy"] > epochs[0]["balanced_accuracy"];
  data.folder.write("run/best.safetensors", "cut off");
  const Result third = data.heft("train --resume --epochs 3 --out " + run);
  CHECK(third.exit_code == 0);
  CHECK(contains(third.err, "heft: best.safetensors of epoch 1 is gone") == !last_is_best);
  const json config = json::parse(read_text(run + "/config.json"));
  CHECK(config["epochs"] == 3);
  CHECK(config["optimizer"] == "absgd");
  CHECK(config["lambda"].is_null());  // infinity
  CHECK(metrics_of(run).size() == 3);

  // From the checkpoint of an epoch, which is what is left where a disk damages the newest.
  std::string bytes = read_text(run + "/state.safetensors");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  data.folder.write("run/state.safetensors", bytes);
  const std::string kept = run + "/checkpoints/epoch-0003.safetensors";
  CHECK(contains(refusal("--resume " + run + " --epochs 4", 3), "--resume " + kept));
  CHECK(data.heft("train --resume " + kept + " --epochs 4").exit_code == 0);
  CHECK(metrics_of(run).size() == 4);
  CHECK_FALSE(fs::exists(kept));

  data.folder.write("train-labels-idx1-ubyte", heft::test::idx_bytes({320}, std::string(89, '\0') + std::string(81, '\1') +
                                                                                std::string(80, '\2') + std::string(70, '\3')));
  CHECK(contains(refusal("--resume " + run + " --epochs 5", 3), "320 images, by class 90, 80, 80, 70"));
}

TEST_CASE("heft train: --resume keeps as many checkpoints as the run was told to, and says that images or records are others",
          "[cli][resume]") {
  const Blobs data;
  const std::string run = data.run("run");
  const auto kept = [&] {
    const fs::directory_iterator files(run + "/checkpoints");
    return std::distance(begin(files), end(files));
  };
  const auto went_on = [&](const std::string& arguments) {
    const Result result = data.heft("train --resume " + run + arguments);
    INFO(result.err);
    CHECK(result.exit_code == 0);
    return result.err;
  };
  REQUIRE(data.heft("train " + data.flags() + "--epochs 3 --keep 3 --out " + run).exit_code == 0);
  CHECK_FALSE(contains(went_on(" --epochs 4"), "the data are others"));
  CHECK(kept() == 3);
  went_on(" --epochs 5 --keep 2");
  CHECK(kept() == 2);

  std::string images = read_text(data.folder.file("train-images-idx3-ubyte"));
  images[16] = static_cast<char>(images[16] ^ 1);
  data.folder.write("train-images-idx3-ubyte", images);
  CHECK(contains(went_on(" --epochs 6"), "heft: the data are others than the run in " + run + " has had (train)"));
  CHECK_FALSE(contains(went_on(" --epochs 7"), "the data are others"));  // than last time
  const json manifest = json::parse(read_text(run + "/manifest.json"));
  REQUIRE(manifest["resumed"].size() == 4);
  CHECK(manifest["resumed"][2]["data"]["train"]["fingerprint"] != manifest["data"]["train"]["fingerprint"]);
  CHECK_FALSE(manifest["resumed"][3].contains("data"));
  CHECK(contains(data.heft("inspect run " + run).out, "data, which were others: train 320 images ("));

  const std::string steps = read_text(run + "/steps.jsonl");
  data.folder.write("run/steps.jsonl", steps.substr(0, steps.size() / 2));
  const Result cut = data.heft("train --epochs 8 --resume " + run);
  CHECK(cut.exit_code == 3);
  CHECK(contains(cut.err, "/steps.jsonl"));
  went_on(" --epochs 8 --no-record");
}

TEST_CASE("heft train: on from an older checkpoint, a kill leaves one run", "[cli][resume]") {
  const Blobs data;
  const std::string straight = data.run("straight"), run = data.run("run");
  const std::string older = run + "/checkpoints/epoch-0002.safetensors";
  REQUIRE(data.heft("train " + data.flags() + "--epochs 4 --keep 4 --checkpoint-every 3 --out " + straight).exit_code == 0);
  fs::copy(straight, run, fs::copy_options::recursive);
  status_after(start("train --resume " + older), run + "/state.safetensors", SIGKILL);
  const Result rest = data.heft("train --resume " + run);
  INFO(rest.err);
  CHECK((rest.exit_code == 0 || contains(rest.err, "beyond the 4")));
  check_same_run(run, straight);

  // To where it ends anew, nothing is left of what came after.
  REQUIRE(data.heft("train --resume " + older + " --epochs 3").exit_code == 0);
  const auto best = heft::train::read_safetensors(run + "/best.safetensors").metadata;
  CHECK(std::stoi(best.at("epoch")) <= 3);
  CHECK_FALSE(fs::exists(run + "/checkpoints/epoch-0004.safetensors"));

  fs::copy_file(older, data.run("alone.safetensors"));
  CHECK(contains(data.heft("train --resume " + data.run("alone.safetensors")).err, "in the folder of its run"));
  CHECK(contains(data.heft("train --epochs 9 --resume " + run + " --out " + data.run("x")).err, "or with the run in --out"));
}

TEST_CASE("heft train: a folder holds one run, which no other replaces, joins or goes on with unasked", "[cli][resume]") {
  const Blobs data;
  const std::string one = data.run("one"), other = data.run("other"), short_run = "--epochs 1 --out ";
  REQUIRE(data.heft("train " + data.flags() + short_run + one).exit_code == 0);
  Result again = data.heft("train " + data.flags() + short_run + one);
  CHECK(again.exit_code == 2);
  CHECK(contains(again.err, "expected a folder without a run (--out); " + one + " holds one: --resume " + one));
  CHECK(data.heft("train " + data.flags() + "--overwrite " + short_run + one).exit_code == 0);
  // Another at work there: what it holds is a lock on the folder.
  REQUIRE(fs::create_directory(data.run("busy")));
  const int held = ::open(data.run("busy").c_str(), O_RDONLY | O_DIRECTORY);
  REQUIRE(::flock(held, LOCK_EX) == 0);
  again = data.heft("train " + data.flags() + short_run + data.run("busy"));
  CHECK(again.exit_code == 2);
  CHECK(contains(again.err, "another heft train is at work in " + data.run("busy")));
  ::close(held);
  CHECK(data.heft("train " + data.flags() + short_run + data.run("busy")).exit_code == 0);
  // Another run's state.
  REQUIRE(data.heft("train --data idx --data-dir '" + data.folder.path() + "' --threads 1 --batch-size 32 " + short_run + other)
              .exit_code == 0);
  fs::copy_file(other + "/state.safetensors", one + "/state.safetensors", fs::copy_options::overwrite_existing);
  again = data.heft("train --epochs 2 --resume " + one);
  CHECK(again.exit_code == 3);
  CHECK(contains(again.err, "whose config.json has model \"mlp\"; " + one + "/state.safetensors is of a run with \"lenet5\""));
  // None yet.
  fs::remove_all(one + "/checkpoints"), fs::remove(one + "/state.safetensors");
  again = data.heft("train --resume " + one);
  CHECK(again.exit_code == 3);
  CHECK(contains(again.err, "ended before its first checkpoint: start it again with --overwrite instead"));
  CHECK(contains(data.heft("train --resume " + data.run("nope")).err, "there is no " + data.run("nope")));
  const std::string in_file = one + "/config.json/below";
  again = data.heft("train " + data.flags() + short_run + in_file);
  CHECK(again.exit_code == 2);
  CHECK(contains(again.err, "that can be made (--out); the system says of " + in_file));
}

TEST_CASE("heft train: where a file finds no room, the error says so and what is kept, and the run goes on when there is some",
          "[cli][resume]") {
  const Blobs data;
  const std::string run = data.run("run"), train = "train " + data.flags();
  // A full disk, but for the system's reason: files end after so many blocks.
  const auto with_blocks = [&](int blocks, const std::string& arguments) {
    return heft_command(data.folder, arguments, "trap '' XFSZ; ulimit -f " + std::to_string(blocks) + "; ");
  };
  Result full = with_blocks(8, train + "--epochs 2 --out " + run);
  INFO(full.err);
  CHECK(full.exit_code == 1);
  CHECK(contains(full.err, "expected to write " + run + "/"));
  CHECK(contains(full.err, "; the system says: File too large\n"));
  CHECK(contains(full.err, "heft: " + run + " has no checkpoint yet; when there is room, start again with --overwrite\n"));
  CHECK(data.heft(train + "--epochs 2 --overwrite --out " + run).exit_code == 0);
  full = with_blocks(8, "train --epochs 3 --resume " + run);
  INFO(full.err);
  CHECK(full.exit_code == 1);
  CHECK(contains(full.err, "; the system says: File too large\n"));
  CHECK(contains(full.err,
                 "the last checkpoint is whole; when there is room, heft train --resume " + run + " goes on from it\n"));
  CHECK(data.heft("train --epochs 3 --resume " + run).exit_code == 0);
  CHECK(metrics_of(run).size() == 3);
}

TEST_CASE("heft train: --early-stopping ends a run whose validation part no longer gains", "[cli][resume]") {
  const Blobs data;
  const std::string run = data.run("run");
  // With lr this small nothing is learnt, so that the first epoch stays the best.
  const std::string train = "train " + data.flags() + "--lr 1e-12 --weight-decay 0 --lr-schedule constant --val-split 0.2 ";
  const Result ended = data.heft(train + "--epochs 9 --early-stopping 3 --out " + run);
  REQUIRE(ended.exit_code == 0);
  CHECK(metrics_of(run).size() == 4);
  CHECK(contains(ended.out, "ended after epoch 4: no better one since epoch 1"));
  CHECK(contains(ended.out, "epoch 1, "));
  CHECK(contains(ended.out, "on the validation set"));
  const auto best = heft::train::read_safetensors(run + "/best.safetensors").metadata;
  CHECK(best.at("epoch") == "1");
  CHECK(best.count("validation_balanced_accuracy") == 1);

  CHECK(contains(data.heft("train --resume " + run).err, "ended early after epoch 4"));
  CHECK(data.heft("train --resume " + run + " --early-stopping 5").exit_code == 0);
  CHECK(metrics_of(run).size() == 6);
  CHECK(data.heft("train --resume " + run + " --early-stopping 0").exit_code == 0);
  CHECK(metrics_of(run).size() == 9);

  const Result blind = data.heft("train " + data.flags() + "--early-stopping 3 --out " + data.run("blind"));
  CHECK(blind.exit_code == 2);
  CHECK(contains(blind.err, "--val-split"));
}

TEST_CASE("heft train: --find-lr prints a rate to try and records the test", "[cli][find_lr]") {
  const Blobs data;
  const std::string run = data.run("run");
  const Result found = data.heft("train " + data.flags() + "--find-lr --out " + run);
  INFO(found.err);
  REQUIRE(found.exit_code == 0);
  CHECK(contains(found.out, "try --lr "));
  CHECK(fs::exists(run + "/find_lr.jsonl"));
  CHECK_FALSE(fs::exists(run + "/state.safetensors"));
  const json first = json::parse(read_text(run + "/find_lr.jsonl").substr(0, read_text(run + "/find_lr.jsonl").find('\n')));
  CHECK(first["lr"] == 1e-6);
  CHECK(data.heft("train --find-lr --resume " + run).exit_code == 2);
}

#endif
