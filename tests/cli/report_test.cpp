// heft report: what goes into the page, and what is refused. tests/cli/report_browser_test.cpp looks at the page itself.
#ifdef HEFT_CLI_PATH

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch_compat.h"
#include "tests/cli/program.h"
#include "tests/cli/report_run.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"

using heft::test::contains;
using heft::test::heft_command;
using heft::test::kHostile;
using heft::test::read_text;
using heft::test::Result;
using heft::test::TemporaryDirectory;
using heft::test::write_run;
using nlohmann::json;

namespace {

std::vector<json> lines_of(const std::string& path) {
  std::vector<json> lines;
  std::istringstream text(read_text(path));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

Result report(const TemporaryDirectory& folder, const std::vector<std::string>& runs, const std::string& out = "out.html") {
  std::string arguments = "report -o '" + folder.file(out) + "'";
  for (const std::string& run : runs) arguments += " '" + folder.file(run) + "'";
  return heft_command(folder, arguments);
}

json data_of(const std::string& html) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = html.find(open) + open.size();
  return json::parse(html.substr(begin, html.find("</script>", begin) - begin));
}

// The data of a report that must succeed.
json reported(const TemporaryDirectory& folder, const std::vector<std::string>& runs) {
  const Result result = report(folder, runs);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return data_of(read_text(folder.file("out.html")));
}

void edit(const TemporaryDirectory& folder, const std::string& file, const std::string& part, const std::string& by) {
  std::string text = read_text(folder.file(file));
  const std::size_t at = text.rfind(part);
  INFO(file << " " << part);
  REQUIRE(at != std::string::npos);
  folder.write(file, text.replace(at, part.size(), by));
}

}  // namespace

TEST_CASE("heft report: help", "[cli][report]") {
  const TemporaryDirectory folder;
  const Result help = heft_command(folder, "report --help");
  CHECK(help.exit_code == 0);
  for (const char* word : {"--out", "Examples:", "heft report runs/absgd"}) CHECK(contains(help.out, word));
  folder.write("metrics.jsonl", "of a run");
  const Result refused = heft_command(folder, "report x -o '" + folder.file("metrics.jsonl") + "'");
  CHECK(refused.exit_code == 2);
  CHECK(contains(refused.err, "to end in .html"));
  CHECK(read_text(folder.file("metrics.jsonl")) == "of a run");
  CHECK(heft_command(folder, "report").exit_code == 2);
  CHECK(heft_command(folder, "report --nonsense a").exit_code == 2);
}

TEST_CASE("heft report: the page has the numbers of the run's files", "[cli][report]") {
  const TemporaryDirectory folder;
  heft::test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10});
  const std::string train = "train --data idx --data-dir '" + folder.path() +
                            "' --threads 1 --model mlp --batch-size 32 --epochs 2 --noise symmetric:0.2 --optimizer absgd "
                            "--lambda 2 --lambda-from-epoch 2 --class-weights balanced --out '" +
                            folder.file("run") + "'";
  REQUIRE(heft_command(folder, train).exit_code == 0);
  const Result result = report(folder, {"run"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "out.html: 1 run, "));
  const std::string html = read_text(folder.file("out.html"));
  CHECK(contains(html, "Content-Security-Policy\" content=\"default-src 'none'"));
  CHECK(count_of(html, "http://") == 1);  // the name space of SVG
  for (const char* word : {"https:", "innerHTML", "fetch(", "@import", "@data@", ".js@", ".css@"})
    CHECK_FALSE(contains(html, word));

  const json run = data_of(html)["runs"][0];
  const std::vector<json> metrics = lines_of(folder.file("run/metrics.jsonl")),
                          steps = lines_of(folder.file("run/steps.jsonl")),
                          snapshots = lines_of(folder.file("run/snapshots.jsonl"));
  const json samples = json::parse(read_text(folder.file("run/samples.json")));
  REQUIRE(run["epochs"].size() == 2);
  for (const char* field : {"train_loss", "balanced_accuracy", "worst_class_accuracy", "memorised", "effective_share"})
    CHECK(run["epochs"][1][field].get<double>() == Approx(metrics[1][field].get<double>()).epsilon(1e-5));
  CHECK(run["epochs"][0]["lambda"].is_null());
  CHECK(run["epochs"][1]["lambda"] == 2);
  CHECK(run["class_count"] == 4);
  REQUIRE(run["steps"]["step"].size() == 16);
  for (const char* field :
       {"mean_loss", "weighted_loss", "effective_sample_size", "kl_from_prior", "log_u", "batch_log_mean_exp"})
    CHECK(run["steps"][field][12].get<double>() == Approx(steps[12][field].get<double>()).epsilon(1e-5));
  REQUIRE(run["snapshots"].size() == 2);
  CHECK(run["snapshots"][1]["batch"] == snapshots[1]["batch"]);
  CHECK(run["snapshots"][1]["batch"]["priors"].size() == 32);
  CHECK(run["snapshots"][1]["confusion"] == snapshots[1]["confusion"]);
  CHECK(run["snapshots"][1]["weight_by_class"] == snapshots[1]["weight_by_class"]);
  CHECK(run["samples"]["class_counts"] == samples["class_counts"]);
  REQUIRE(run["samples"]["hardest"].size() == samples["hardest"].size());
  CHECK(run["samples"]["hardest"][3]["pixels"] == samples["hardest"][3]["pixels"]);
  CHECK(run["config"]["optimizer"] == "absgd");
  CHECK(run["config"]["min_share"] == 0.5);
}

TEST_CASE("heft report: names cannot get out of the data", "[cli][report]") {
  const TemporaryDirectory folder;
  const std::string name = "<img src=x onerror=alert(1)><!-- & \"";
  write_run(folder, name);
  write_run(folder, "harmless");
  const json data = reported(folder, {"harmless"});
  const std::string harmless = read_text(folder.file("out.html"));
  const json hostile = reported(folder, {name});
  const std::string html = read_text(folder.file("out.html"));
  CHECK(contains(hostile["runs"][0]["name"].get<std::string>(), name));
  CHECK(hostile["runs"][0]["samples"]["classes"][0] == kHostile);
  for (const char* part : {"<img", "onerror=\"", "<!--", "<script", "</script"}) {
    INFO(part);
    CHECK(count_of(html, part) == (std::string(part).find("script") == std::string::npos ? 0 : 2));
    CHECK(count_of(html, part) == count_of(harmless, part));
  }
}

TEST_CASE("heft report: what a run did not record is left out", "[cli][report]") {
  const TemporaryDirectory folder;
  write_run(folder, "run");
  std::filesystem::remove(folder.file("run/steps.jsonl"));
  json run = reported(folder, {"run"})["runs"][0];
  CHECK(run["steps"].is_null());
  CHECK(run["snapshots"].size() == 3);
  std::filesystem::remove(folder.file("run/samples.json"));
  run = reported(folder, {"run"})["runs"][0];
  CHECK(run["samples"].is_null());
  CHECK(run["class_count"] == 3);
  std::filesystem::remove(folder.file("run/snapshots.jsonl"));
  std::filesystem::remove(folder.file("run/config.json"));
  run = reported(folder, {"run"})["runs"][0];
  CHECK(run["snapshots"].empty());
  CHECK(run["config"].is_null());
  // Of another reduction, without class logits, of images that are not 1 or 3 planes.
  write_run(folder, "plain");
  edit(folder, "plain/steps.jsonl", "\"lambda\":2.0,", "");
  for (const char* field : {"labels", "predictions", "flipped"}) {
    const json line = lines_of(folder.file("plain/snapshots.jsonl"))[2];
    edit(folder, "plain/snapshots.jsonl", '"' + std::string(field) + "\":" + line["batch"][field].dump(),
         '"' + std::string(field) + "\":null");
  }
  edit(folder, "plain/samples.json", "\"pixels\":\"00ff804010c0\"", "\"pixels\":\"\"");
  run = reported(folder, {"plain"})["runs"][0];
  CHECK(run["steps"]["lambda"][11].is_null());
  CHECK(run["snapshots"][2]["batch"]["labels"].is_null());
}

TEST_CASE("heft report: several runs, and those that differ in lambda alone", "[cli][report]") {
  const TemporaryDirectory folder;
  write_run(folder, "a", {.lambda = 2});
  write_run(folder, "b", {.lambda = -1});
  write_run(folder, "c", {.lambda = 2, .priors = true});
  const json data = reported(folder, {"a", "c", "b"});
  REQUIRE(data["runs"].size() == 3);
  CHECK(data["runs"][0]["family"] == 0);
  CHECK(data["runs"][1]["family"] == 1);
  CHECK(data["runs"][2]["family"] == 0);
  CHECK(data["runs"][2]["config"]["lambda"] == -1);
}

TEST_CASE("heft report: long runs are thinned", "[cli][report]") {
  const TemporaryDirectory folder;
  write_run(folder, "run", {.steps = 5001, .epochs = 130});
  const json run = reported(folder, {"run"})["runs"][0];
  REQUIRE(run["steps"]["step"].size() == 2000);
  CHECK(run["steps"]["step"][1999] == 5001);
  CHECK(run["steps"]["step"][999] == 2500);
  CHECK(run["epochs"].size() == 130);
  REQUIRE(run["snapshots"].size() == 40);
  CHECK(run["snapshots"][39]["epoch"] == 130);
  CHECK(std::filesystem::file_size(folder.file("out.html")) < 500000);
}

TEST_CASE("heft report: the folder of a study", "[cli][report][study]") {
  const TemporaryDirectory folder;
  heft::test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10});
  folder.write("a.toml",
               "name = 'tails'\nseeds = [0, 1]\nbaseline = 'SGD'\n[base]\nepochs = 1\nmodel = 'mlp'\nbatch_size = 32\n"
               "data.data = 'idx'\ndata.dir = '" +
                   folder.path() +
                   "'\n[[dataset]]\nname = 'even'\n[[method]]\nname = 'SGD'\n"
                   "[[method]]\nname = 'ABSGD'\noptimizer = 'absgd'\n[method.choose]\nlambda = [1, 5]\n");
  const Result study =
      heft_command(folder, "study '" + folder.file("a.toml") + "' --threads 1 --out '" + folder.file("study") + "'");
  INFO(study.err);
  REQUIRE(study.exit_code == 0);
  write_run(folder, "run");
  const json data = reported(folder, {"study", "run"});
  CHECK(data["runs"].size() == 1);
  REQUIRE(data["studies"].size() == 1);
  const json shown = data["studies"][0], written = json::parse(read_text(folder.file("study/study.json")));
  CHECK(shown["name"] == "tails");
  REQUIRE(shown["rows"].size() == 2);
  CHECK(shown["rows"][1]["metrics"]["balanced_accuracy"]["mean"].get<double>() ==
        Approx(written["rows"][1]["metrics"]["balanced_accuracy"]["mean"].get<double>()).epsilon(1e-5));
  CHECK(shown["rows"][1]["minus_baseline"]["accuracy"]["n"] == 2);
  REQUIRE(shown["runs"].size() == 4);  // of ABSGD: two that chose, two that are shown
  CHECK(shown["runs"][0]["lambda"] == 1);
  CHECK(shown["runs"][0]["choosing"] == true);
  CHECK(shown["epoch"] == "last");
  edit(folder, "study/study.json", "\"epoch\": \"last\"", "\"epoch\": \"best on test\"");
  CHECK(reported(folder, {"study"})["studies"][0]["epoch"] == "best on test");
  edit(folder, "study/study.json", "\"lambda\": ", "\"lambda\": \"\", \"was\": ");
  CHECK(contains(report(folder, {"study"}).err, "expected lambda to be a number in " + folder.file("study/study.json")));
}

TEST_CASE("heft report: bad data exits with 3, names file and line, and leaves the page that is there", "[cli][report]") {
  const TemporaryDirectory folder;
  folder.write("out.html", "the page before");
  const auto refused = [&](const std::string& run, const std::string& message) {
    const Result result = report(folder, {run});
    INFO(result.err);
    CHECK(result.exit_code == 3);
    CHECK(contains(result.err, message));
    CHECK(read_text(folder.file("out.html")) == "the page before");
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      CHECK_FALSE(contains(entry.path().filename().string(), "tmp"));
  };
  refused("none", "expected the folder of a run; there is none at " + folder.file("none"));
  std::filesystem::create_directory(folder.file("empty"));
  refused("empty", "with study.json; " + folder.file("empty") + " has neither");

  struct Case {
    const char *file, *part, *by, *message;
  };
  const std::vector<Case> cases = {
      {"metrics.jsonl", "\"train_loss\":1.0", "\"train_loss\":", "metrics.jsonl:2; got, at column"},
      {"metrics.jsonl", "\"train_loss\":1.0", "\"train_loss\":NaN", "metrics.jsonl:2; got, at column"},
      {"metrics.jsonl", "\"train_loss\":1.0", "\"train_loss\":1e999", "metrics.jsonl:2; got"},
      {"metrics.jsonl", "\"train_loss\":1.0", "\"train_loss\":\"low\"",
       "expected train_loss to be a number in %/metrics.jsonl:2; got \"low\""},
      {"metrics.jsonl", "\"train_loss\":1.0", "\"loss\":1.0",
       "expected train_loss to be a number in %/metrics.jsonl:2; got nothing"},
      {"metrics.jsonl", "[0.25,0.95,null]", "[0.25,0.95]",
       "expected 3 entries of per_class_accuracy in %/metrics.jsonl:3; got 2"},
      {"metrics.jsonl", "}\n", "}", "line 3 has no end"},
      {"metrics.jsonl", "}\n", "}\n\n", "metrics.jsonl:4"},
      {"metrics.jsonl", "}\n", "}\n[1]\n", "expected a JSON object in %/metrics.jsonl:4; got [1]"},
      {"config.json", "\"optimizer\": \"absgd\"", "\"optimizer\": absgd", "config.json:14; got, at column 16"},
      {"config.json", "\"optimizer\": \"absgd\"", "\"optimizer\": {}", "expected optimizer to be a text"},
      {"steps.jsonl", "\"samples\":6", "\"samples\":-6",
       "expected samples to be an integer of at least 0 in %/steps.jsonl:12; got -6"},
      {"snapshots.jsonl", "[0.1,0.2,", "[0.1,null,",
       "expected losses to be an array of numbers in %/snapshots.jsonl:3; got null as entry 1"},
      {"snapshots.jsonl", "[0.1,0.2,", "[0.2,", "expected 5 entries of weights in %/snapshots.jsonl:3; got 6"},
      {"snapshots.jsonl", "\"labels\":[0,", "\"labels\":[3,",
       "expected labels below 3, the number of classes, in %/snapshots.jsonl:3; got 3"},
      {"snapshots.jsonl", "[0,19,1]", "[0,19]", "expected 3 entries of a row of confusion in %/snapshots.jsonl:3"},
      {"snapshots.jsonl", "[20.5,30,40]", "[20.5,30]", "expected 3 entries of weight_by_class"},
      {"samples.json", "\"pixels\":\"00ff", "\"pixels\":\"00f", "expected pixels to be 12 hex digits"},
      {"samples.json", "\"pixels\":\"00ff", "\"pixels\":\"0<ff", "expected pixels to be 12 hex digits"},
      {"samples.json", "\"label\":0", "\"label\":9", "expected label below 3"},
      {"samples.json", "\"shirt\",", "", "expected 3 entries of classes"},
      {"samples.json", "\"shirt\"", "\"\xff\"", "samples.json:1; got, at column"},
  };
  for (const Case& c : cases) {
    INFO(c.file << ": " << c.part << " -> " << c.by);
    write_run(folder, "run");
    edit(folder, "run/" + std::string(c.file), c.part, c.by);
    std::string message = c.message;
    if (const std::size_t at = message.find('%'); at != std::string::npos) message.replace(at, 1, folder.file("run"));
    refused("run", message);
  }
  write_run(folder, "run");
  folder.write("run/metrics.jsonl", "");
  refused("run", "expected a finished epoch in " + folder.file("run/metrics.jsonl"));
  write_run(folder, "run");
  std::filesystem::resize_file(folder.file("run/steps.jsonl"), std::uintmax_t{2} << 30);  // a hole, not 2 GB
  refused("run", "expected at most 256 MB in " + folder.file("run/steps.jsonl") + "; got 2048 MB");
  std::filesystem::remove(folder.file("run/steps.jsonl"));
  std::filesystem::create_directory(folder.file("run/steps.jsonl"));
  refused("run", "expected a file " + folder.file("run/steps.jsonl"));

  write_run(folder, "good");
  const Result nowhere = report(folder, {"good"}, "none/out.html");
  CHECK(nowhere.exit_code == 1);
  CHECK(contains(nowhere.err, "none/out.html"));
}

#endif
