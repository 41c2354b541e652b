#include "train/study_table.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/catch_compat.h"
#include "tests/train/files.h"
#include "tests/train/small_study.h"

using namespace heft;
using heft::test::contains;
using heft::test::TemporaryDirectory;
using heft::train::Study;
using heft::train::StudyResult;
using heft::train::StudyStore;
using nlohmann::json;

namespace {

// Finished runs with made-up numbers; nothing is trained.
struct Made {
  TemporaryDirectory folder;
  Study study = test::small_study(folder);
  StudyStore store{folder.file("results.jsonl")};

  StudyResult result(std::size_t run, double balanced) {
    const train::StudyRun planned = train::study_runs(study, store).at(run);
    StudyResult made{.dataset = planned.dataset, .method = planned.method, .seed = planned.seed};
    made.recipe = to_json(planned.recipe);
    made.epoch = 2;
    made.metrics = {{"balanced_accuracy", balanced}, {"ms_per_step", 2.5}};
    made.per_class_accuracy = {0.75, std::nullopt, 0.5, 0.25};
    made.class_counts = {1000, 500, 50, 5};
    made.environment = {{"threads", "2"}};
    return made;
  }
};

}  // namespace

TEST_CASE("spread: mean and sample deviation", "[train][study]") {
  const train::Spread three = *train::spread({78, 80, 85});
  CHECK(three.n == 3);
  CHECK(three.mean == Approx(81));
  CHECK(*three.deviation == Approx(3.605551275));  // sqrt((9 + 1 + 16) / 2)
  CHECK(*train::spread({-1, 1})->deviation == Approx(1.414213562));
  CHECK_FALSE(train::spread({4})->deviation);
  CHECK_FALSE(train::spread({}));
  CHECK(str(train::spread({78, 80, 85})) == "81.00 ± 3.61");
  CHECK(str(train::spread({78, 80, 85}), true, " +- ") == "+81.00 +- 3.61");
  CHECK(str(train::spread({4})) == "4.00");
  CHECK(str(std::optional<train::Spread>()) == "-");
}

TEST_CASE("study table: means, deviations and paired differences by hand", "[train][study]") {
  Made made;
  made.study.baseline = "SGD";
  // SGD 0.70 0.72 0.77; Adam 0.71, diverged, 0.75 and collapsed.
  const std::vector<double> balanced{0.70, 0.71, 0.72, 0, 0.77, 0.75};
  for (std::size_t i = 0; i < 6; ++i) {
    StudyResult result = made.result(i, balanced[i]);
    if (i == 1) result.metrics["memorised"] = 0.5;
    if (i == 3) {
      result.diverged = "loss is NaN";
      result.metrics.clear();
      result.per_class_accuracy.clear();
      result.class_counts.clear();
    }
    if (i == 5) result.collapsed_to = 2;
    made.store.add(result);
  }
  const std::vector<train::StudyRow> rows = train::study_table(made.study, made.store);
  REQUIRE(rows.size() == 2);
  const train::StudyRow &sgd = rows[0], &adam = rows[1];
  CHECK(sgd.method == "SGD");
  CHECK((sgd.seeds == 3 && sgd.finished == 3 && sgd.diverged == 0 && sgd.collapsed == 0));
  CHECK((adam.seeds == 3 && adam.finished == 3 && adam.diverged == 1 && adam.collapsed == 1));
  CHECK(sgd.metrics.at("balanced_accuracy").mean == Approx(73));
  CHECK(*sgd.metrics.at("balanced_accuracy").deviation == Approx(3.605551275));  // 3, 1, 4 about 73
  CHECK(sgd.metrics.at("many_accuracy").mean == Approx(75));
  CHECK(sgd.metrics.at("medium_accuracy").mean == Approx(50));
  CHECK(sgd.metrics.at("few_accuracy").mean == Approx(25));
  CHECK(sgd.metrics.at("ms_per_step").mean == 2.5);
  CHECK(sgd.metrics.count("memorised") == 0);
  CHECK(sgd.minus_baseline.empty());
  CHECK(adam.metrics.at("memorised").mean == 50);
  CHECK(adam.metrics.at("balanced_accuracy").n == 2);
  CHECK(adam.metrics.at("balanced_accuracy").mean == Approx(73));
  const train::Difference& difference = adam.minus_baseline.at("balanced_accuracy");  // +1 at seed 0, -2 at seed 2
  CHECK(difference.spread.n == 2);
  CHECK(difference.spread.mean == Approx(-0.5));
  CHECK(*difference.spread.deviation == Approx(2.121320344));
  CHECK(difference.above == 1);
  CHECK(adam.minus_baseline.count("memorised") == 0);

  const std::string markdown = train::study_markdown(made.study, made.store);
  for (const char* part :
       {"sample standard deviation (divisor n - 1) over 3 seeds (0, 1, 2)", "73.00 ± 3.61", "The epoch is the last",
        "-0.50 ± 2.12 (1 of 2)", "Minus SGD", "| even | Adam |  | 3 | last | 73.00 ± 2.83 |", "| 1 | 1 |"}) {
    INFO(part << "\n" << markdown);
    CHECK(contains(markdown, part));
  }
  CHECK_FALSE(contains(markdown, "Fewer than 3"));
  CHECK_FALSE(contains(markdown, "environments"));

  std::istringstream csv(train::study_csv(made.study, made.store));
  std::string titles, first;
  std::getline(csv, titles);
  std::getline(csv, first);
  CHECK(titles.starts_with("data,method,setting,epoch,seeds,finished,diverged,collapsed,accuracy_mean,accuracy_deviation"));
  CHECK(std::count(titles.begin(), titles.end(), ',') == std::count(first.begin(), first.end(), ','));
  CHECK(first.starts_with("even,SGD,,last,3,3,0,0,,,0,73"));

  made.study.text = "name = 'x'";
  train::write_study_tables(made.folder.path(), made.study, made.store, {{"machine", "here"}});
  const json all = json::parse(test::read_text(made.folder.file("study.json")));
  CHECK(all["file"] == "name = 'x'");
  CHECK(all["environment"]["machine"] == "here");
  CHECK(all["rows"][1]["minus_baseline"]["balanced_accuracy"]["above_zero"] == 1);
  CHECK(all["rows"][0]["metrics"]["balanced_accuracy"]["mean"].get<double>() == Approx(73));
  CHECK(all["runs"].size() == 6);
  CHECK(all["runs"][3]["diverged"] == "loss is NaN");
  CHECK(all["runs"][0]["recipe"]["model"] == "mlp");
  CHECK(test::read_text(made.folder.file("table.md")) == markdown);
  CHECK(test::read_text(made.folder.file("table.csv")) == train::study_csv(made.study, made.store));

  made.study.shots = {.many = 40, .few = 1};
  CHECK(train::study_table(made.study, made.store)[0].metrics.at("many_accuracy").mean == Approx(62.5));
}

TEST_CASE("study table: part of the runs, names with signs of their own, two machines", "[train][study]") {
  Made made;
  made.study.seeds = {0, 1};
  made.study.methods[0].name = "a|b, \"c\"";
  made.store.add(made.result(0, 0.7));
  std::string markdown = train::study_markdown(made.study, made.store);
  CHECK(contains(markdown, "| even | a\\|b, \"c\" |  | 1 of 2 | last | 70.00 |"));
  CHECK(contains(markdown, "| even | Adam |  | 0 of 2 | last | - |"));
  CHECK(contains(markdown, "Fewer than 3 seeds"));
  CHECK(contains(train::study_csv(made.study, made.store), "\"a|b, \"\"c\"\"\""));
  StudyResult elsewhere = made.result(1, 0.7);
  elsewhere.environment = {{"threads", "4"}};
  made.store.add(elsewhere);
  CHECK(contains(train::study_markdown(made.study, made.store), "2 environments"));
  CHECK(StudyStore(made.folder.file("results.jsonl")).results().size() == 2);
}
