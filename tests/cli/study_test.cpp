// heft study from end to end: the file and what is refused in it, the folder of results, going on after a kill.
#ifdef HEFT_CLI_PATH

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

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
  std::string fields() const {
    return "model = 'mlp'\nbatch_size = 32\ndata.data = 'idx'\ndata.dir = '" + folder.path() + "'\n";
  }
  std::string base(const std::string& more = "") const { return "[base]\n" + more + fields(); }
  Result study(const std::string& text, const std::string& flags = "", const std::string& before = "") const {
    folder.write("a.toml", text);
    return heft_command(folder, "study '" + folder.file("a.toml") + "' --threads 1 --out '" + folder.file("out") + "' " + flags,
                        before);
  }
  std::vector<json> results() const {
    std::vector<json> lines;
    std::istringstream text(read_text(folder.file("out/results.jsonl")));
    for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
    return lines;
  }
};

std::string replaced(std::string text, const std::string& part, const std::string& by) {
  const std::size_t at = text.find(part);
  REQUIRE(at != std::string::npos);
  return text.replace(at, part.size(), by);
}

}  // namespace

TEST_CASE("heft study: data sets x methods x seeds, with a choice", "[cli][study]") {
  const Blobs data;
  const std::string text = "seeds = [0, 1]\nbaseline = 'SGD'\n" + data.base("epochs = 2\n") +
                           "[choosing]\nvalidation = 0.25\nseeds = [9]\n[shots]\nmany = 50\nfew = 10\n"
                           "[[dataset]]\nname = 'even'\n"
                           "[[dataset]]\nname = 'tail'\ndata.imbalance = 'exp:0.1'\nepochs = 3\n"
                           "[[method]]\nname = 'SGD'\n"
                           "[[method]]\nname = 'ABSGD'\noptimizer = 'absgd'\nlambda = inf\n"
                           "[method.choose]\nlr = [0.1, 0.05]\n[method.choose.data]\nclass_order = ['label', 'reversed']\n";
  const Result list = data.study(text, "--list");
  INFO(list.err);
  REQUIRE(list.exit_code == 0);
  CHECK(contains(list.out, "to do     choosing: tail, ABSGD ("));
  CHECK(contains(list.out, "16 runs, 0 finished"));
  CHECK_FALSE(std::filesystem::exists(data.folder.file("out")));

  const Result result = data.study(text);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "| tail | ABSGD |"));
  CHECK(contains(result.out, "Minus SGD"));
  CHECK(contains(result.out, "How settings were chosen"));
  CHECK(read_text(data.folder.file("out/table.md")) == result.out.substr(0, result.out.find("\nwritten to")));
  CHECK(data.results().size() == 16);
  for (const json& run : data.results()) {
    CHECK(run["recipe"]["epochs"] == (run["dataset"] == "tail" ? 3 : 2));
    CHECK(run["recipe"]["data"]["validation"] == (run["choosing"] ? 0.25 : 0));
    CHECK(run["recipe"]["data"]["seed"] == run["seed"]);
  }
  const json all = json::parse(read_text(data.folder.file("out/study.json")));
  CHECK(all["name"] == "a");
  CHECK(all["file"] == text);
  CHECK(all["environment"]["threads"] == "1");
  CHECK(all["choices"][0]["tried"].size() == 4);

  CHECK(contains(data.study(text, "--list").out, "16 runs, 16 finished"));
  const std::vector<json> one_by_one = data.results();
  const Result again = data.study(text);
  CHECK(again.exit_code == 0);
  CHECK(again.out == result.out);
  CHECK(again.err.empty());

  std::filesystem::remove_all(data.folder.file("out"));
  REQUIRE(data.study(text, "--jobs 3").exit_code == 0);
  const auto numbers = [](const std::vector<json>& results) {
    std::set<json> numbers;  // times aside
    for (const json& run : results) numbers.insert({run["recipe"], run["metrics"]["balanced_accuracy"], run["train_loss"]});
    return numbers;
  };
  CHECK(numbers(data.results()) == numbers(one_by_one));
}

TEST_CASE("heft study: the file in the README", "[cli][study]") {
  const Blobs data;
  heft::test::write_blobs(data.folder, {200, 200, 200, 200}, {10, 10, 10, 10});
  const std::string readme = read_text("README.md");
  const std::size_t begin = readme.find("```toml\n") + 8;
  const std::string text = readme.substr(begin, readme.find("```", begin) - begin);
  const Result result = data.study(replaced(text, "epochs = 20", "epochs = 1\n" + data.fields()));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "| long tail | ABSGD | lambda = "));
  CHECK(data.results().size() == 3 + 6);
}

TEST_CASE("heft study: every file under examples/studies/ can be run", "[cli][study]") {
  const TemporaryDirectory folder;
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator("examples/studies")) {
    const Result result =
        heft_command(folder, "study '" + file.path().string() + "' --list --out '" + folder.file("out") + "'");
    INFO(file.path().string() << ": " << result.err);
    CHECK(result.exit_code == 0);
    CHECK(contains(result.out, " 0 finished"));
    ++files;
  }
  CHECK(files >= 5);
}

TEST_CASE("heft study: the example", "[cli][study][slow]") {
  const Blobs out;
  const Result result = out.study(replaced(read_text("examples/studies/quick.toml"), "epochs = 3", "epochs = 1"));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "| long tail 0.01 | ABSGD | lambda = "));
  CHECK(out.results().size() == 2 + 9);
}

TEST_CASE("heft study: killed at any time, it goes on; interrupted, it says how", "[cli][study]") {
  const Blobs data;
  const std::string text =
      "seeds = [0, 1, 2, 3]\n" + data.base("epochs = 20\n") + "[[dataset]]\nname = 'even'\n[[method]]\nname = 'SGD'\n";
  for (const char* jobs : {"", "--jobs 2"}) data.study(text, jobs, "timeout --foreground --signal=KILL 0.3 ");
  const std::size_t before = data.results().size();  // whole lines, whatever was being done
  REQUIRE(data.study(text).exit_code == 0);
  std::set<json> seeds;
  for (const json& run : data.results()) seeds.insert(run["seed"]);
  CHECK(data.results().size() == 4);
  CHECK(seeds.size() == 4);
  CHECK(before <= 4);

  const std::string longer =
      "seeds = [0]\n" + data.base("epochs = 100000\n") + "[[dataset]]\nname = 'even'\n[[method]]\nname = 'SGD'\n";
  for (const char* jobs : {"", "--jobs 2"}) {
    const Result stopped = data.study(longer, jobs, "timeout --foreground --signal=INT 1 ");
    INFO(stopped.err);
    CHECK((stopped.exit_code == 130 || stopped.exit_code == 124));  // timeout reports 124 for what it had to stop
    CHECK(contains(stopped.err, "is run again: its recipe is another now: epochs 100000 (was 20)"));
    CHECK(contains(stopped.err, "the same command goes on"));
  }
}

TEST_CASE("heft study: a folder where another one is at work is left alone", "[cli][study]") {
  const Blobs data;
  std::filesystem::create_directory(data.folder.file("out"));
  const int file = ::open(data.folder.file("out/.lock").c_str(), O_RDWR | O_CREAT, 0666);
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  REQUIRE(::fcntl(file, F_SETLK, &whole) == 0);
  const std::string text =
      "seeds = [0]\n" + data.base("epochs = 1\n") + "[[dataset]]\nname = 'even'\n[[method]]\nname = 'SGD'\n";
  const Result result = data.study(text);
  CHECK(result.exit_code == 2);
  CHECK(contains(result.err, "another is at work"));
  CHECK(data.study(text, "--list").exit_code == 0);
  ::close(file);
  CHECK(data.study(text).exit_code == 0);
}

TEST_CASE("heft study: a folder with the results of another study is left alone", "[cli][study]") {
  const Blobs data;
  const std::string text =
      "seeds = [0]\n" + data.base("epochs = 1\n") + "[[dataset]]\nname = 'even'\n[[method]]\nname = 'SGD'\n";
  REQUIRE(data.study("name = 'first'\n" + text).exit_code == 0);
  const std::string table = read_text(data.folder.file("out/table.md"));
  const Result other = data.study("name = 'second'\n" + replaced(text, "[0]", "[1]"));
  CHECK(other.exit_code == 2);
  CHECK(contains(other.err, "expected a folder for the study second alone (--out); " + data.folder.file("out/study.json") +
                                " is of another, first"));
  CHECK(read_text(data.folder.file("out/study.toml")) == "name = 'first'\n" + text);
  CHECK(read_text(data.folder.file("out/table.md")) == table);
  CHECK(data.study("name = 'first'\n" + replaced(text, "[0]", "[0, 1]")).exit_code == 0);
  CHECK(data.study(text).exit_code == 2);  // named by its file, a
  std::filesystem::remove_all(data.folder.file("out"));
  REQUIRE(data.study(text).exit_code == 0);
  CHECK(contains(data.study("name = 'first'\n" + text).err, "is of another, a"));
}

TEST_CASE("heft study: a diverged run is a row, bad data is not", "[cli][study]") {
  const Blobs data;
  const std::string text = "seeds = [0]\n" + data.base() +
                           "[[dataset]]\nname = 'even'\n[[method]]\nname = 'wild'\nlr = 1e30\nepochs = 2\n" +
                           "[[method]]\nname = 'tame'\nepochs = 1\n";
  const Result result = data.study(text);
  CHECK(result.exit_code == 0);
  CHECK(contains(result.err, "even, wild, seed 0: diverged"));
  CHECK(contains(result.out, "| even | wild |  | 1 | last | diverged |"));
  CHECK(contains(result.out, "Fewer than 3 seeds"));
  data.folder.write("t10k-labels-idx1-ubyte", "garbage");
  CHECK(data.study("seeds = [1]\n" + text.substr(text.find('\n'))).exit_code == 3);
}

TEST_CASE("heft study: what is wrong in the file is named with its place", "[cli][study]") {
  const Blobs data;
  const auto refusal = [&](const std::string& text, int exit_code = 2) {
    const Result result = data.study(text, "--list");
    INFO(text << "\n" << result.err);
    CHECK(result.exit_code == exit_code);
    return result.err;
  };
  const std::string end = "[[dataset]]\nname = 'even'\n[[method]]\nname = 'SGD'\n";
  CHECK(refusal("seeds = [0]\n" + end, 0).empty());
  CHECK(contains(heft_command(data.folder, "study '" + data.folder.file("none.toml") + "'").err, "none.toml"));
  CHECK(heft_command(data.folder, "study '" + data.folder.file("none.toml") + "'").exit_code == 3);
  CHECK(heft_command(data.folder, "study").exit_code == 2);
  CHECK(contains(refusal("seeds = [0]\nname = ]"), "a.toml:2; "));
  CHECK(contains(refusal("seds = [0]\n" + end), "a.toml:1, perhaps seeds; got 'seds'"));
  CHECK(contains(refusal("seeds = 3\n" + end), "whole numbers from 0 on, as in [0, 1, 2], for seeds at"));
  CHECK(contains(refusal("seeds = []\n" + end), "whole numbers from 0 on"));
  CHECK(contains(refusal("seeds = [0, -1]\n" + end), "got -1"));
  CHECK(contains(refusal("seeds = [0, 'x']\n" + end), "whole numbers"));
  CHECK(contains(refusal("seeds = [0]\nname = 3\n" + end), "a text for name at "));
  CHECK(contains(refusal("name = '../x'\nseeds = [0]\n" + end), "'../x'"));
  CHECK(contains(refusal("report = 'best'\nseeds = [0]\n" + end), "'last' or 'best-on-test' for report at "));
  CHECK(contains(refusal("baseline = 'x'\nseeds = [0]\n" + end), "got 'x'"));
  CHECK(contains(refusal("base = 3\nseeds = [0]\n" + end), "a table for base"));
  CHECK(contains(refusal("seeds = [0]\n[choosing]\nsead = [1]\n" + end), "a.toml:3, perhaps seeds; got 'sead'"));
  CHECK(contains(refusal("seeds = [0]\n[choosing]\nvalidation = 'x'\n" + end), "a share for validation"));
  CHECK(contains(refusal("seeds = [0]\n[shots]\nmany = 'x'\n" + end), "a whole number for many"));
  CHECK(contains(refusal("seeds = [0]\n[base]\nlr = 'fast'\n" + end), "a number for lr at "));
  CHECK(contains(refusal("seeds = [0]\n[base]\nepochs = 1\nlamda = 1\n" + end), "a.toml:4, perhaps lambda; got 'lamda'"));
  CHECK(
      contains(refusal("seeds = [0]\n[base.data]\nnoize = 'none'\n" + end), "a.toml:3, perhaps data.noise; got 'data.noize'"));
  CHECK(contains(refusal("seeds = [0]\n[base]\nname = 'x'\n" + end), "got 'name'"));
  CHECK(contains(refusal("seeds = [0]\n[base]\nlr = 2020-01-01\n" + end), "got 2020-01-01"));
  CHECK(contains(refusal("seeds = [0]\n[base]\nlr = [1, 2]\n" + end), "got [ 1, 2 ]"));
  CHECK(contains(refusal("seeds = [0]\ndataset = 'x'\n[[method]]\nname = 'x'\n"), "[[...]], for dataset"));
  CHECK(contains(refusal("seeds = [0]\n[[dataset]]\ndata.imbalance = 'none'\n"), "a name in the [[dataset]] at "));
  CHECK(contains(refusal("seeds = [0]\n[[dataset]]\nname = 'x'\nimbalance = 'none'\n"), "perhaps data.imbalance"));
  CHECK(contains(refusal("seeds = [0]\n" + end + "lambda = 5\n"), "'SGD' ("));
  CHECK(contains(refusal("seeds = [0]\n" + end + "lambda = 5\n"), "a.toml:4) on 'even' ("));
  CHECK(contains(refusal("seeds = [0]\n" + end + "optimizer = 'absgd'\n[method.choose]\nlambda = [1, 0]\n"), "got 0"));
  CHECK(contains(refusal("seeds = [0]\n" + end + "loss = 'focal'\nloss_options.gamma = -1\n"), "'SGD' ("));
  CHECK(contains(refusal("seeds = [0]\n" + end + "datasets = ['odd']\n"), "got 'odd'"));
  CHECK(contains(refusal("seeds = [0]\n" + end + "datasets = [1]\n"), "a.toml:6; got 1"));
  CHECK(contains(refusal("seeds = [0]\n" + end + "[method.choose]\nlr = 0.1\n"),
                 "values to choose from, as in [0.1, 0.2], for lr at "));
  CHECK(contains(refusal("seeds = [0]\n" + end + "[method.choose]\nlr = []\n"), "values to choose from"));
  CHECK(contains(refusal("seeds = [0]\n" + end + "[method.choose]\nlr = [0.1, 'x']\n"), "a number for lr"));
  CHECK(contains(refusal("seeds = [0]\n" + end + "[method.choose]\nlrs = [0.1]\n"), "a.toml:7, perhaps lr; got 'lrs'"));
}

#endif
