// The program from end to end: exit codes, what goes to stdout and stderr, and the files of a run.
#ifdef HEFT_CLI_PATH

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "core/version.h"
#include "layers/models.h"
#include "tests/catch_compat.h"
#include "tests/cli/program.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"
#include "train/run_state.h"

using heft::test::contains;
using heft::test::heft_command;
using heft::test::read_text;
using heft::test::Result;
using heft::test::TemporaryDirectory;
using nlohmann::json;

namespace {

std::vector<json> metrics_of(const std::string& run) {
  std::vector<json> lines;
  std::istringstream text(read_text(run + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

// Timings aside.
std::vector<json> without_times(std::vector<json> lines) {
  for (json& line : lines)
    for (const char* key : {"seconds", "images_per_second"}) line.erase(key);
  return lines;
}

struct Blobs {
  TemporaryDirectory folder;
  Blobs() { heft::test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10}); }
  std::string flags() const { return "--data idx --data-dir '" + folder.path() + "' --threads 1 --model mlp --batch-size 32 "; }
  std::string run(const std::string& name) const { return folder.file(name); }
  std::string out(const std::string& name) const { return "--out '" + folder.file(name) + "' "; }
};

}  // namespace

TEST_CASE("heft: help and version", "[cli]") {
  const TemporaryDirectory folder;
  const Result help = heft_command(folder, "--help");
  CHECK(help.exit_code == 0);
  for (const char* word : {"train", "demo", "study", "report", "summary", "Exit codes"}) CHECK(contains(help.out, word));
  const Result train = heft_command(folder, "train --help");
  CHECK(train.exit_code == 0);
  for (const char* flag : {"--data-dir",        "--imbalance",     "--class-order", "--model",  "--loss",
                           "--label-smoothing", "--class-weights", "--optimizer",   "--lambda", "--lambda-from-epoch",
                           "--gamma",           "--epochs",        "--batch-size",  "--lr",     "--momentum",
                           "--weight-decay",    "--lr-schedule",   "--val-split",   "--seed",   "--threads",
                           "--device",          "--augment",       "--mixup",       "--out",    "--resume",
                           "Examples:"}) {
    INFO(flag);
    CHECK(contains(train.out, flag));
  }
  CHECK(contains(heft_command(folder, "demo --help").out, "--class-order"));
  CHECK(heft_command(folder, "--version").out == "heft " HEFT_VERSION "\n");
  CHECK(contains(heft_command(folder, "summary lenet5").out, "61,706"));
}

TEST_CASE("heft: wrong flags and values exit with 2, bad data with 3, a diverged run with 4", "[cli]") {
  const Blobs data;
  const auto exit_code = [&](const std::string& arguments) {
    const Result result = heft_command(data.folder, arguments);
    INFO(arguments << ": " << result.err);
    CHECK_FALSE(result.err.empty());
    return result.exit_code;
  };
  const std::string train = "train " + data.flags() + "--overwrite " + data.out("run");
  CHECK(exit_code("") == 2);
  CHECK(exit_code("nonsense") == 2);
  CHECK(exit_code("train --nonsense") == 2);
  CHECK(contains(heft_command(data.folder, "trian --epochs 3").err, "got 'trian' (nearest: train)"));
  CHECK(contains(heft_command(data.folder, "train --lamda 3").err,
                 "expected a flag of train; got '--lamda' (nearest: --lambda)"));
  CHECK(contains(heft_command(data.folder, "inspect runs x").err, "got 'runs' (nearest: run)"));
  CHECK(exit_code(train + "--epochs few") == 2);
  CHECK(exit_code(train + "--epochs 0") == 2);
  CHECK(contains(heft_command(data.folder, train + "--seed -1").err, "expected a seed of at least 0; got -1"));
  CHECK(exit_code(train + "--seed -1") == 2);
  CHECK(contains(heft_command(data.folder, train + "--seed 18446744073709551616").err, "got 18446744073709551616"));
  CHECK(contains(heft_command(data.folder, train + "--batch-size 9223372036854775808").err, "got 9223372036854775808"));
  CHECK(exit_code(train + "--optimizer sdg") == 2);
  CHECK(exit_code(train + "--optimizer sgd --lambda 5") == 2);
  CHECK(exit_code(train + "--optimizer absgd --lambda 0") == 2);
  CHECK(exit_code(train + "--optimizer absgd --gamma 2") == 2);
  CHECK(exit_code(train + "--imbalance exp:2") == 2);
  CHECK(exit_code(train + "--class-order 0,0,1,2 --imbalance exp:0.1") == 2);
  CHECK(exit_code(train + "--val-split 1") == 2);
  CHECK(exit_code("summary lenet6") == 2);
  CHECK(exit_code("train --data-dir '" + data.folder.file("none") + "' " + data.out("run")) == 3);
  CHECK(contains(heft_command(data.folder, "demo --data-dir '" + data.folder.file("none") + "'").err, "dataset-fashion-mnist"));
  CHECK(exit_code("demo --data-dir '" + data.folder.file("none") + "'") == 3);
  CHECK(exit_code(train + "--lr 1e30 --epochs 2") == 4);
  data.folder.write("t10k-labels-idx1-ubyte", "garbage");
  CHECK(exit_code(train) == 3);
}

TEST_CASE("heft: results that cannot be written are exit 1, and what a run will not show is remarked", "[cli]") {
  const Blobs data;
  const TemporaryDirectory& folder = data.folder;
  if (std::filesystem::exists("/dev/full"))
    for (const std::string arguments : {"summary lenet5", "summary --help", "man", "--version"}) {
      INFO(arguments);
      const std::string command =
          std::string("'") + HEFT_CLI_PATH + "' " + arguments + " >/dev/full 2>'" + folder.file("said") + "'";
      CHECK(WEXITSTATUS(std::system(command.c_str())) == 1);
      CHECK(contains(heft::test::read_text(folder.file("said")), "heft: the results cannot be written to the standard output"));
    }
  const Result precise =
      heft_command(folder, "train " + data.flags() + "--epochs 1 --precision bf16 --overwrite " + data.out("run"));
  CHECK(precise.exit_code == 0);
  CHECK(contains(precise.err, "heft: the precision bf16 is for a GPU; a CPU computes in f32"));
  const Result idle = heft_command(folder, "train " + data.flags() +
                                               "--epochs 1 --class-order reversed --optimizer absgd --lambda-from-epoch 3 "
                                               "--warm-up 2 --lr 0.1 --meta-per-class 2 --image-size 32 --channels 3 "
                                               "--broken skip --cache none --test-split 0.5 --overwrite " +
                                               data.out("run"));
  CHECK(idle.exit_code == 0);
  for (const std::string flag : {"--image-size 32", "--channels 3", "--broken skip", "--cache none", "--test-split 0.5"})
    CHECK(contains(idle.err, "heft: " + flag + " is for your own images; idx is as it is"));
  CHECK(contains(idle.err, "heft: --class-order reversed is the order of --imbalance, which is none"));
  CHECK(contains(idle.err, "heft: 2 images of each class are held out as clean ones, which reweight none does not use"));
  CHECK(contains(idle.err, "heft: lambda begins in epoch 3 of 1: until then absgd weighs all samples alike"));
  CHECK(contains(idle.err, "heft: the warm-up takes 2 epochs, of which the run has 1: lr stays below 0.1"));
}

TEST_CASE("heft: a number of threads that is out of reason is refused, one above that of the CPUs remarked once", "[cli]") {
  const Blobs data;
  const auto heft = [&](const std::string& threads, const std::string& more = "") {
    return heft_command(data.folder, "train --data idx --data-dir '" + data.folder.path() +
                                         "' --model mlp --epochs 1 --threads " + threads + " --overwrite " + data.out("run") +
                                         more);
  };
  for (const char* threads : {"0", "-1", "1025", "4096", "99999999999999999999"}) {
    const Result refused = heft(threads);
    INFO(refused.err);
    CHECK(refused.exit_code == 2);
    CHECK(contains(refused.err, threads));
  }
  const std::string said = heft("1025").err;  // in the words of CLI11, of Debian 12's or 13's
  CHECK((contains(said, "1025 not in range 1 to 1024") || contains(said, "1025 not in range [1 - 1024]")));
  CHECK(heft_command(data.folder, "study none.toml --jobs 1025").exit_code == 2);
  const auto cpus = std::thread::hardware_concurrency();
  const std::string most = std::to_string(cpus), beyond = std::to_string(cpus + 1);
  CHECK_FALSE(contains(heft(most).err, "is likely to be faster"));
  const Result remarked = heft(beyond);
  CHECK(remarked.exit_code == 0);
  const std::size_t at = remarked.err.find("heft: " + beyond + " threads on " + most + " CPU");
  REQUIRE(at != std::string::npos);
  CHECK(remarked.err.find("is likely to be faster", at) == remarked.err.rfind("is likely to be faster"));
  CHECK_FALSE(contains(heft(beyond, "--quiet").err, "is likely to be faster"));
}

TEST_CASE("heft train: the files of a run", "[cli]") {
  const Blobs data;
  const Result result =
      heft_command(data.folder, "train " + data.flags() + data.out("run") +
                                    "--epochs 2 --optimizer absgd --lambda 2 --lambda-from-epoch 2 --val-split 0.2 "
                                    "--imbalance exp:0.2 --class-weights deferred --seed 3");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "balanced accuracy"));
  CHECK(contains(result.out, "training images"));
  CHECK(contains(result.err, "epoch   2"));
  CHECK_FALSE(contains(result.err, "\033"));  // no terminal: no bar

  const std::vector<json> lines = metrics_of(data.run("run"));
  REQUIRE(lines.size() == 2);
  for (const json& line : lines) {
    for (const char* field : {"epoch", "train_loss", "test_accuracy", "balanced_accuracy", "worst_class_accuracy",
                              "images_per_second", "seconds", "validation_balanced_accuracy"}) {
      INFO(field);
      REQUIRE(line.contains(field));
      CHECK(line[field].is_number());
    }
    CHECK(line["per_class_accuracy"].size() == 4);
    CHECK((line["test_accuracy"] >= 0 && line["test_accuracy"] <= 1));
  }
  CHECK(lines[0]["epoch"] == 1);
  CHECK(lines[0]["lambda"].is_null());
  CHECK(lines[1]["lambda"] == 2);
  CHECK(lines[1]["class_weighted"] == true);

  const json config = json::parse(read_text(data.run("run") + "/config.json"));
  CHECK(config["optimizer"] == "absgd");
  CHECK(config["lr"] == 0.05);
  CHECK(config["gamma"] == 0.9);
  CHECK(config["seed"] == 3);
  CHECK(config["data"]["imbalance"] == "exp:0.2");

  const heft::ModulePtr net = heft::models::make("mlp", {.classes = 4, .image_size = heft::test::kBlobSide});
  const auto metadata = heft::train::load_model(data.run("run") + "/model.safetensors", *net);
  CHECK(metadata.at("model") == "mlp");
  CHECK(metadata.count("normalize_mean") == 1);

  const auto has = [&](const char* name) { return std::filesystem::exists(data.run("run") + "/" + name); };
  for (const char* name : {"steps.jsonl", "snapshots.jsonl", "samples.json", "tensorboard"}) CHECK(has(name));
  REQUIRE(
      heft_command(data.folder, "train " + data.flags() + data.out("run") + "--epochs 1 --no-record --overwrite").exit_code ==
      0);
  for (const char* name : {"steps.jsonl", "snapshots.jsonl", "samples.json", "tensorboard"}) CHECK_FALSE(has(name));
}

TEST_CASE("heft train: --resume continues as if it had never stopped", "[cli]") {
  const Blobs data;
  const std::string train = "train " + data.flags() + "--optimizer abadam --lr-schedule constant ";
  // What depends on the number of epochs, lambda's first one, stays as the run began.
  REQUIRE(heft_command(data.folder, train + data.out("straight") + "--epochs 4 --lambda-from-epoch 2").exit_code == 0);
  REQUIRE(heft_command(data.folder, train + data.out("halved") + "--epochs 2").exit_code == 0);
  REQUIRE(heft_command(data.folder, train + data.out("halved") + "--epochs 4 --resume").exit_code == 0);
  CHECK(without_times(metrics_of(data.run("halved"))) == without_times(metrics_of(data.run("straight"))));
  for (const char* file : {"/model.safetensors", "/steps.jsonl", "/snapshots.jsonl"}) {
    INFO(file);
    CHECK(read_text(data.run("halved") + file) == read_text(data.run("straight") + file));
  }

  CHECK(heft_command(data.folder, train + data.out("halved") + "--epochs 4 --resume").exit_code == 2);           // all done
  CHECK(heft_command(data.folder, train + data.out("halved") + "--epochs 5 --lr 0.5 --resume").exit_code == 2);  // another run
  CHECK(heft_command(data.folder, train + data.out("nothing") + "--epochs 5 --resume").exit_code == 3);
}

TEST_CASE("heft train: an interrupt leaves the finished epochs", "[cli]") {
  const Blobs data;
  const Result result =
      heft_command(data.folder, "train " + data.flags() + data.out("run") + "--epochs 100000 --lr-schedule constant",
                   "timeout --foreground --signal=INT 2 ");
  CHECK((result.exit_code == 130 || result.exit_code == 124));  // timeout reports 124 for what it had to stop
  CHECK(contains(result.err, "--resume"));
  const std::size_t epochs = metrics_of(data.run("run")).size();
  REQUIRE(epochs > 0);
  CHECK(heft_command(data.folder, "train " + data.flags() + data.out("run") + "--lr-schedule constant --resume --epochs " +
                                      std::to_string(epochs + 1))
            .exit_code == 0);
  CHECK(metrics_of(data.run("run")).size() == epochs + 1);
}

TEST_CASE("heft demo: four runs side by side", "[cli]") {
  const Blobs data;
  const Result result = heft_command(data.folder, "demo --data idx --data-dir '" + data.folder.path() +
                                                      "' --threads 1 --model mlp --imbalance exp:0.1 --epochs 2 --seed 1");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  for (const char* text : {"ABSGD, LDAM", "balanced accuracy", "worst class", "images/s", "One seed"}) {
    INFO(text);
    CHECK(contains(result.out, text));
  }
}

#endif
