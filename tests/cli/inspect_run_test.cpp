// heft inspect run, the manifest that it shows, and what --quiet and --json leave of a command's output.
#ifdef HEFT_CLI_PATH

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "core/version.h"
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
  std::string run() const { return folder.file("run"); }
  Result train(const std::string& flags) const {
    return heft_command(folder, "train --data idx --data-dir '" + folder.path() +
                                    "' --threads 1 --model mlp --batch-size 32 --epochs 2 --overwrite --out '" + run() + "' " +
                                    flags);
  }
  Result inspect(const std::string& flags = "") const { return heft_command(folder, "inspect run '" + run() + "' " + flags); }
  json manifest() const { return json::parse(read_text(run() + "/manifest.json")); }
};

// Words that stand for others replaced, each quoted for the shell.
std::string filled(const std::string& pattern, const std::map<std::string, std::string>& words) {
  std::ostringstream text;
  std::istringstream all(pattern);
  for (std::string word; all >> word;) {
    const auto found = words.find(word);
    text << " '" << (found == words.end() ? word : found->second) << '\'';
  }
  return text.str();
}

}  // namespace

TEST_CASE("heft train: the manifest of a run", "[cli][inspect]") {
  const Blobs data;
  REQUIRE(data.train("--seed 3 --val-split 0.25 --lr-schedule constant").exit_code == 0);
  const json begun = data.manifest();
  CHECK(begun["heft"] == HEFT_VERSION);
  for (const char* name : {"compiler", "onednn", "system", "processor"}) CHECK_FALSE(begun[name].get<std::string>().empty());
  CHECK(begun["features"].is_array());
  CHECK(begun["threads"] == 1);
  CHECK(begun["seed"] == 3);
  CHECK(begun["data"]["train"]["images"] == 180);
  CHECK(begun["data"]["validation"]["images"] == 60);
  CHECK(begun["data"]["test"]["classes"] == 4);
  CHECK(begun["data"]["test"]["fingerprint"].get<std::string>().size() == 8);
  CHECK(contains(begun["command"], "heft train --data idx "));
  CHECK(contains(begun["command"], " --seed 3 --val-split 0.25"));
  CHECK(begun["date"].get<std::string>().size() == 20);
  CHECK(begun["resumed"].empty());

  REQUIRE(heft_command(data.folder, "train --resume '" + data.run() + "' --epochs 3").exit_code == 0);
  json on = data.manifest();
  REQUIRE(on["resumed"].size() == 1);
  CHECK(contains(on["resumed"][0]["command"], "--epochs 3"));
  on["resumed"] = json::array();
  CHECK(on == begun);

  // A damaged one is made anew.
  data.folder.write("run/manifest.json", "{");
  REQUIRE(heft_command(data.folder, "train --resume '" + data.run() + "' --epochs 4").exit_code == 0);
  CHECK(data.manifest()["data"] == begun["data"]);
}

TEST_CASE("heft inspect run: settings, origin, numbers, checkpoints", "[cli][inspect]") {
  const Blobs data;
  REQUIRE(data.train("--optimizer absgd --lambda 2 --keep 2").exit_code == 0);
  const Result text = data.inspect();
  INFO(text.out << text.err);
  REQUIRE(text.exit_code == 0);
  CHECK(contains(text.out, "run: 2 of 2 epochs\n"));
  for (const char* part : {"  optimizer = \"absgd\"\n", "  lambda = 2\n", "  data.data = \"idx\"\n", "heft " HEFT_VERSION ", ",
                           "1 thread(s), seed 0", "data train 240 images (", "best ", "last ", "state.safetensors",
                           "checkpoints/epoch-0001.safetensors", "checkpoints/epoch-0002.safetensors"}) {
    INFO(part);
    CHECK(contains(text.out, part));
  }
  CHECK_FALSE(contains(text.out, "gamma"));  // as it is by itself

  const json all = json::parse(data.inspect("--json").out);
  CHECK(all["changed_settings"]["lambda"] == 2);
  CHECK(all["changed_settings"]["data.data"] == "idx");
  CHECK_FALSE(all["changed_settings"].contains("lr"));
  CHECK(all["manifest"]["heft"] == HEFT_VERSION);
  CHECK(all["last"]["epoch"] == 2);
  CHECK(all["best"]["balanced_accuracy"] >= all["last"]["balanced_accuracy"]);
  CHECK(all["checkpoints"].size() == 5);

  std::filesystem::remove(data.run() + "/manifest.json");
  std::filesystem::remove(data.run() + "/metrics.jsonl");
  const json fewer = json::parse(data.inspect("--json").out);
  CHECK(fewer["manifest"].is_null());
  CHECK(fewer["last"].is_null());
  CHECK(contains(data.inspect().out, "run: 0 of 2 epochs"));
  data.folder.write("run/manifest.json", "{\"heft\": 3}");
  CHECK(data.inspect().exit_code == 3);
  CHECK(contains(data.inspect().err, "manifest.json"));
  data.folder.write("run/config.toml", "epochs = 1\nlamda = 2\n");
  CHECK(contains(data.inspect().err, "config.toml:2, perhaps lambda"));
  for (const std::string damaged : {"epochs = 1\nlamda = 2\n", "epochs = -1\n", "model = 'foo'\n", "lr = 'x'\n", "epochs = "}) {
    data.folder.write("run/config.toml", damaged);
    for (const Result& result : {data.inspect(), heft_command(data.folder, "eval '" + data.run() + "'")}) {
      INFO(damaged << result.err);
      CHECK(result.exit_code == 3);
      CHECK(contains(result.err, "expected the settings of a run in " + data.run() + "/config.toml; "));
    }
  }
  const Result none = heft_command(data.folder, "inspect run '" + data.folder.file("none") + "'");
  CHECK(none.exit_code == 3);
  CHECK(contains(none.err, "expected the folder of a run of heft train"));
}

TEST_CASE("heft: --json gives one object on stdout, --quiet nothing beside it", "[cli][inspect]") {
  const Blobs data;
  const Result loud = data.train("--json");
  REQUIRE(loud.exit_code == 0);
  CHECK(contains(loud.err, "epoch   2"));
  const json last = json::parse(loud.out);
  CHECK(last["epoch"] == 2);
  CHECK(last["best"]["set"] == "test");
  CHECK(last["class_counts"] == json({60, 60, 60, 60}));
  for (const char* name : {"test_accuracy", "balanced_accuracy", "per_class_accuracy", "train_loss"})
    CHECK(last.contains(name));

  const Result both = data.train("--json --quiet");
  CHECK(both.err.empty());
  CHECK(json::parse(both.out)["balanced_accuracy"] == last["balanced_accuracy"]);
  const Result quiet = data.train("-q");
  CHECK(quiet.exit_code == 0);
  CHECK(quiet.out + quiet.err == "");
  const Result wrong = data.train("--quiet --lr -1");
  CHECK(wrong.exit_code == 2);
  CHECK(contains(wrong.err, "expected a finite lr above 0"));

  const std::map<std::string, std::string> words{{"MODEL", data.run()},
                                                 {"FOLDER", data.folder.path()},
                                                 {"LR", data.folder.file("lr")},
                                                 {"PNG", data.folder.file("none.png")}};
  for (const char* pattern : {"eval MODEL --data idx --data-dir FOLDER", "inspect checkpoint MODEL", "inspect run MODEL",
                              "summary lenet5", "train --find-lr --model mlp --data idx --data-dir FOLDER --out LR"}) {
    const std::string command = filled(pattern, words);
    INFO(command);
    const Result object = heft_command(data.folder, command + " --json --quiet");
    CHECK(object.exit_code == 0);
    CHECK(object.err.empty());
    CHECK(json::accept(object.out));
    const Result nothing = heft_command(data.folder, command + " --quiet");
    CHECK(nothing.exit_code == 0);
    CHECK(nothing.out + nothing.err == "");
  }
  const Result broken = heft_command(data.folder, filled("predict MODEL PNG --json --quiet", words));
  CHECK(broken.exit_code == 3);
  CHECK(json::parse(broken.out).contains("error"));
  CHECK(contains(broken.err, "none.png"));
}

#endif
