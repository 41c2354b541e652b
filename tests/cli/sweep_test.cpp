// heft sweep: the study that it writes, its table, and what goes on where it stopped.
#ifdef HEFT_CLI_PATH

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/catch_compat.h"
#include "tests/cli/program.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"

using heft::test::contains;
using heft::test::heft_command;
using heft::test::read_text;
using heft::test::Result;
using heft::test::TemporaryDirectory;
using nlohmann::json;

namespace {

struct Blobs {
  TemporaryDirectory folder;
  Blobs() { heft::test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10}); }
  Result sweep(const std::string& flags, const std::string& environment = "") const {
    return heft_command(folder,
                        "sweep --data idx --data-dir '" + folder.path() +
                            "' --threads 1 --model mlp --batch-size 32 --epochs 1 --out '" + folder.file("out") + "' " + flags,
                        environment);
  }
  std::ptrdiff_t runs() const {
    const std::string text = read_text(folder.file("out/results.jsonl"));
    return std::count(text.begin(), text.end(), '\n');
  }
};

}  // namespace

TEST_CASE("heft sweep: every combination with every seed, and on from there", "[cli][study]") {
  const Blobs data;
  const Result list = data.sweep("--lambda 1,inf --gamma 0.5,0.9 --seeds 2 --list");
  INFO(list.err);
  REQUIRE(list.exit_code == 0);
  CHECK(contains(list.out, "to do     idx, lambda inf, gamma 0.9, seed 1"));
  CHECK(contains(list.out, "8 runs, 0 finished"));

  const Result result = data.sweep("--lambda 1,inf --gamma 0.5,0.9 --seeds 2 --lr 0.1");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "| idx | lambda 1, gamma 0.5 |  | 2 | last |"));
  CHECK(contains(result.out, "| idx | lambda inf, gamma 0.9 |  | 2 | last |"));
  CHECK(data.runs() == 8);
  const json all = json::parse(read_text(data.folder.file("out/study.json")));
  for (const json& run : all["runs"]) {
    CHECK(run["recipe"]["optimizer"] == "absgd");
    CHECK(run["recipe"]["lr"] == 0.1);
    CHECK(run["recipe"]["seed"] == run["recipe"]["data"]["seed"]);
  }

  const Result again = data.sweep("--lambda 1,inf --gamma 0.5,0.9 --seeds 2 --lr 0.1");
  CHECK(again.out == result.out);
  CHECK(again.err.empty());
  REQUIRE(data.sweep("--lambda 1,2,inf --gamma 0.5,0.9 --seeds 2 --lr 0.1 --json -q").exit_code == 0);
  CHECK(data.runs() == 12);  // what is new
  const Result study = heft_command(data.folder, "study '" + data.folder.file("out/study.toml") + "' --out '" +
                                                     data.folder.file("out") + "' --threads 1 --json --quiet");
  REQUIRE(study.exit_code == 0);
  CHECK(json::parse(study.out)["rows"].size() == 6);
  CHECK(data.runs() == 12);
}

TEST_CASE("heft sweep: with a part held out the setting is chosen there", "[cli][study]") {
  const Blobs data;
  const Result result = data.sweep("--lambda 1,2 --val-split 0.25 --seeds 2");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "| idx | absgd | lambda = "));
  CHECK(contains(result.out, "How settings were chosen"));
  CHECK(data.runs() == 2 + 2);
}

TEST_CASE("heft sweep: settings of a file, of the environment and of flags", "[cli][study]") {
  const Blobs data;
  data.folder.write("a.toml", "optimizer = 'abadam'\nlambda = 7\nseed = 5\nlr = 0.002\nmixup = 0.5\n");
  const Result result =
      data.sweep("--gamma 0.5 --seeds 1 --lr 0.003 --config '" + data.folder.file("a.toml") + "'", "HEFT_TRAIN_MIXUP=0.25 ");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "| idx | gamma 0.5 |"));
  const json recipe = json::parse(read_text(data.folder.file("out/study.json")))["runs"][0]["recipe"];
  CHECK(recipe["optimizer"] == "abadam");
  CHECK(recipe["lambda"] == 7);
  CHECK(recipe["lr"] == 0.003);
  CHECK(recipe["mixup"] == 0.25);
  CHECK(recipe["seed"] == 5);
}

TEST_CASE("heft sweep: what is wrong is named", "[cli][study]") {
  const Blobs data;
  const auto refusal = [&](const std::string& flags) {
    const Result result = data.sweep(flags);
    INFO(flags << result.err);
    CHECK(result.exit_code == 2);
    return result.err;
  };
  CHECK(contains(refusal(""), "expected values for --lambda, for --gamma or both"));
  CHECK(contains(refusal("--lambda 1,0"), "lambda"));
  CHECK(contains(refusal("--lambda 1,1"), "got 'lambda 1' twice"));
  for (const std::string list : {"1,many", "", "1,,3", ",1", "1,", "1,2x"})
    CHECK(contains(refusal("--lambda '" + list + "'"),
                   "expected numbers with commas between them for --lambda; got '" + list + "'"));
  CHECK(contains(refusal("--gamma 0.5,,0.9"), "for --gamma; got '0.5,,0.9'"));
  CHECK(contains(refusal("--lambda 1 --optimizer sgd"), "lambda"));
  CHECK(contains(refusal("--lambda 1 --seeds 0"), "--seeds"));
  std::filesystem::create_directories(data.folder.file("out"));
  data.folder.write("out/metrics.jsonl", "");
  CHECK(contains(refusal("--lambda 1"), "expected a folder without a run (--out); " + data.folder.file("out") + " holds one"));
}

#endif
