#include "train/study.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/error.h"
#include "core/parallel.h"
#include "tests/catch_compat.h"
#include "tests/train/files.h"
#include "tests/train/small_study.h"
#include "train/study_table.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::test::small_study;
using heft::test::TemporaryDirectory;
using heft::train::Setup;
using heft::train::Study;
using heft::train::StudyOptions;
using heft::train::StudyResult;
using heft::train::StudyRun;
using heft::train::StudyStore;

namespace {

struct Folder : TemporaryDirectory {
  Folder() { test::write_blobs(*this, {60, 60, 60, 60}, {10, 10, 10, 10}); }
  std::string results() const { return file("results.jsonl"); }
};

// Those of the next class: on them, the network that has learnt the least is the best.
void spoil_test_labels(const Folder& folder) {
  std::string labels;
  for (const std::uint8_t label : test::blob_bytes({10, 10, 10, 10}, 2).labels)
    labels.push_back(static_cast<char>((label + 1) % 4));
  folder.write("t10k-labels-idx1-ubyte", test::idx_bytes({40}, labels));
}

train::FitResult fit(Setup& setup) { return train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit); }

// Runs that were trained, in order.
struct Trained {
  std::vector<std::string> runs;
  std::vector<std::string> said;
  StudyOptions options() {
    StudyOptions options;
    options.on_result = [this](const StudyRun& run, const StudyResult&) { runs.push_back(str(run)); };
    options.say = [this](const std::string& sentence) { said.push_back(sentence); };
    return options;
  }
};

struct OneThread {
  int before = num_threads();
  OneThread() { set_num_threads(1); }
  ~OneThread() { set_num_threads(before); }
};

// Times and dates aside.
std::map<std::string, std::map<std::string, double>> numbers(const StudyStore& store) {
  std::map<std::string, std::map<std::string, double>> all;
  for (const StudyResult& result : store.results()) {
    std::map<std::string, double> metrics = result.metrics;
    metrics.erase("ms_per_step");
    metrics["train_loss"] = result.train_loss;
    const std::string kind = result.choosing ? "choosing " : "";
    CHECK(all.emplace(kind + result.method + result.setting + std::to_string(result.seed), metrics).second);
  }
  return all;
}

}  // namespace

TEST_CASE("study: every method with every seed, on the last epoch", "[train][study]") {
  const Folder folder;
  const Study study = small_study(folder);
  StudyStore store(folder.results());
  Trained trained;
  REQUIRE(run_study(study, store, trained.options()));
  CHECK(trained.runs == std::vector<std::string>{"even, SGD, seed 0", "even, Adam, seed 0", "even, SGD, seed 1",
                                                 "even, Adam, seed 1", "even, SGD, seed 2", "even, Adam, seed 2"});
  CHECK(trained.said.empty());
  for (const StudyResult& result : store.results()) {
    CHECK(result.epoch == 2);
    CHECK_FALSE(result.diverged);
    CHECK(result.class_counts == std::vector<std::int64_t>{60, 60, 60, 60});
    CHECK(result.per_class_accuracy.size() == 4);
    CHECK(result.metrics.at("balanced_accuracy") > 0.5);
    CHECK(result.metrics.at("ms_per_step") > 0);
    CHECK(result.metrics.count("memorised") == 0);
  }
  // The run alone, by hand.
  Setup setup = train::prepare(train::study_runs(study, store)[3].recipe);
  CHECK(fit(setup).epochs.back().test->calibration_error == store.results()[3].metrics.at("calibration_error"));
}

TEST_CASE("study: goes on where it was broken off, and ends with the same numbers", "[train][study]") {
  const Folder folder;
  const Study study = small_study(folder);
  StudyStore straight(folder.file("straight.jsonl"));
  REQUIRE(run_study(study, straight));
  {
    StudyStore store(folder.results());
    StudyOptions options;
    options.on_step = [&store](const StudyRun& run, const train::StepReport& step) {
      CHECK(step.steps == 8);
      if (store.results().size() == 2 && step.step == 3) throw std::runtime_error("killed in " + str(run));
    };
    CHECK_THROWS_AS(run_study(study, store, options), std::runtime_error);
  }
  // A line that a crash of the machine cut off.
  folder.write("results.jsonl", test::read_text(folder.results()) + R"({"dataset": "ev)");
  StudyStore store(folder.results());
  CHECK(store.results().size() == 2);
  CHECK_FALSE(run_study(study, store, {.stop = [] { return true; }}));
  Trained trained;
  REQUIRE(run_study(study, store, trained.options()));
  CHECK(trained.runs.size() == 4);
  CHECK(trained.runs.front() == "even, SGD, seed 1");
  CHECK(numbers(StudyStore(folder.results())) == numbers(straight));
  CHECK(numbers(straight).size() == 6);

  folder.write("results.jsonl", "{}\n" + test::read_text(folder.results()));
  CHECK(contains(message_of<DataError>([&] { StudyStore damaged(folder.results()); }),
                 "results.jsonl:1; [study] expected the result of a run"));
}

TEST_CASE("study: several jobs at once come to the numbers of one after another, bit for bit", "[train][study]") {
  const Folder folder;
  Study study = small_study(folder);
  study.methods[1].choose = {{{"lr", 1e-4}, {"lr", 0.01}}};
  study.methods.push_back(study.methods[0]);
  study.methods[2].name = "SGD again";  // the same runs, to be made once
  const OneThread one;
  StudyStore straight(folder.file("straight.jsonl")), at_once(folder.file("at_once.jsonl"));
  Trained trained;
  REQUIRE(run_study(study, straight));
  StudyOptions options = trained.options();
  options.jobs = 3;
  std::map<std::string, std::int64_t> steps;
  options.on_step = [&steps](const StudyRun& run, const train::StepReport& step) {
    CHECK(step.steps == (run.choosing ? 6 : 8));
    CHECK(step.mean_loss > 0);
    ++steps[str(run)];
  };
  REQUIRE(run_study(study, at_once, options));
  CHECK(trained.runs.size() == 2 + 6);
  for (const std::string& run : trained.runs) CHECK(steps.at(run) == (contains(run, "choosing") ? 12 : 16));
  CHECK(numbers(at_once) == numbers(straight));
  CHECK(train::study_choices(study, at_once).at(0).chosen == train::study_choices(study, straight).at(0).chosen);

  folder.write("t10k-labels-idx1-ubyte", "garbage");
  StudyStore none(folder.file("none.jsonl"));
  CHECK_THROWS_AS(run_study(study, none, options), DataError);
  CHECK_FALSE(run_study(study, none, {.jobs = 2, .stop = [] { return true; }}));
  CHECK(contains(message_of<ValueError>([&] { run_study(study, none, {.jobs = 0}); }), "at least 1 job"));
}

TEST_CASE("study: runs whose recipe has changed are run again, and it says so", "[train][study]") {
  const Folder folder;
  Study study = small_study(folder);
  StudyStore store(folder.results());
  REQUIRE(run_study(study, store));
  study.methods[1].fields.push_back({"lr", 0.002});
  study.methods[0].name = "plain SGD";  // its runs are known by their recipe
  Trained trained;
  REQUIRE(run_study(study, store, trained.options()));
  CHECK(trained.runs == std::vector<std::string>{"even, Adam, seed 0", "even, Adam, seed 1", "even, Adam, seed 2"});
  REQUIRE(trained.said.size() == 3);
  CHECK(trained.said[0] == "even, Adam, seed 0 is run again: its recipe is another now: lr 0.002 (was 0.001)");
  CHECK(train::study_table(study, store).size() == 2);

  study.best_on_test = true;
  Trained again;
  REQUIRE(run_study(study, store, again.options()));
  CHECK(again.runs.size() == 6);
  CHECK(contains(again.said.at(0), "another epoch"));
}

TEST_CASE("study: results of a version that lacked a field are known by its default", "[train][study]") {
  const TemporaryDirectory folder;
  const std::string path = folder.file("results.jsonl");
  const auto written = [](const std::string& recipe) {
    return train::result_line({.dataset = "d", .method = "m", .recipe = recipe}) + '\n';
  };
  folder.write("results.jsonl", written(R"({"data": {"data": "idx"}, "lr": 0.1})"));
  const StudyStore store(path);
  const auto known = [&](train::Recipe recipe) {
    recipe.data.data = "idx";
    nlohmann::json fields = nlohmann::json::parse(train::to_json(recipe));
    fields["lr"] = 0.1;
    return store.find(fields.dump(), false) != nullptr;
  };
  CHECK(known({}));
  CHECK_FALSE(known({.mixup = 1}));
  CHECK_FALSE(known({.data = {.noise = "symmetric:0.1"}}));

  for (const char* recipe : {"5", "{\"lr\": 1}", "{\"data\": 1}"}) {
    folder.write("results.jsonl", written(recipe));
    CHECK(contains(message_of<DataError>([&] { StudyStore{path}; }), "results.jsonl:1"));
  }
}

TEST_CASE("study: settings are chosen on the held-out part; the test set has no part in it", "[train][study]") {
  const Folder folder;
  Study study = small_study(folder);
  study.seeds = {3, 4};
  study.validation = 0.25;
  study.choosing_seeds = {7, 8};
  study.methods[0].choose = {{{"lr", 1e-9}, {"lr", 0.1}}, {{"momentum", 0.5}, {"momentum", 0.8}}};
  spoil_test_labels(folder);

  StudyStore store(folder.results());
  Trained trained;
  CHECK(train::study_runs(study, store).back().open == false);  // Adam has nothing to choose
  CHECK(train::study_runs(study, store)[8].open);
  CHECK(contains(str(train::study_runs(study, store)[8]), "to be chosen"));
  REQUIRE(run_study(study, store, trained.options()));
  REQUIRE(trained.runs.size() == 8 + 4);
  CHECK(trained.runs[0] == "choosing: even, SGD (lr = 1e-09, momentum = 0.5), seed 7");
  CHECK(trained.runs[1] == "choosing: even, SGD (lr = 1e-09, momentum = 0.8), seed 7");

  const std::vector<train::StudyChoice> choices = train::study_choices(study, store);
  REQUIRE(choices.size() == 1);
  REQUIRE(choices[0].chosen);
  REQUIRE(choices[0].trials.size() == 4);
  CHECK(*choices[0].chosen >= 2);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string setting = str(choices[0].trials[i].setting);
    double mean = 0;
    for (const StudyResult& result : store.results())
      if (result.choosing && result.setting == setting) mean += result.metrics.at("balanced_accuracy") / 2;
    CHECK(*choices[0].trials[i].score == Approx(mean));
    CHECK(*choices[0].trials[i].score <= *choices[0].trials[*choices[0].chosen].score);
  }
  CHECK(contains(trained.runs[8], str(choices[0].trials[*choices[0].chosen].setting)));
  for (const StudyResult& result : store.results()) {
    CHECK(result.class_counts == std::vector<std::int64_t>(4, result.choosing ? 45 : 60));
    if (!result.choosing) CHECK(result.metrics.at("accuracy") < 0.2);
  }
}

TEST_CASE("study: a run that diverges is a result, and never the setting that is chosen", "[train][study]") {
  const Folder folder;
  Study study = small_study(folder);
  study.seeds = {0};
  study.methods[0].fields = {{"lr", 1e30}};
  study.methods[1].choose = {{{"lr", 1e30}, {"lr", 0.001}}};
  StudyStore store(folder.results());
  REQUIRE(run_study(study, store));
  const train::StudyChoice choice = train::study_choices(study, store).at(0);
  CHECK(choice.trials[0].diverged);
  CHECK_FALSE(choice.trials[0].score);
  CHECK(choice.chosen == 1);
  const std::string table = train::study_markdown(study, store);
  CHECK(contains(table, "| even | SGD |  | 1 | last | diverged | diverged |"));
  CHECK(contains(table, "| even | Adam | lr = 1e+30 | diverged |  |"));

  study.methods.erase(study.methods.begin());
  study.methods[0].choose[0].pop_back();  // nothing is left that works
  REQUIRE(run_study(study, store));
  CHECK(train::study_choices(study, store).at(0).chosen == 0);
  CHECK(train::study_table(study, store).at(0).diverged == 1);
}

TEST_CASE("study: the best epoch on the test set where it is asked for", "[train][study]") {
  const Folder folder;
  Study study = small_study(folder);
  study.seeds = {0};
  study.best_on_test = true;
  study.methods.pop_back();
  study.base.push_back({"lr", 3e-4});  // so that the first epoch does not end it all
  study.base.push_back({"epochs", std::int64_t{8}});
  spoil_test_labels(folder);
  StudyStore store(folder.results());
  REQUIRE(run_study(study, store));
  Setup setup = train::prepare(train::study_runs(study, store)[0].recipe);
  double best = 0;
  for (const train::EpochReport& epoch : fit(setup).epochs) {
    const double balanced = epoch.test->balanced_accuracy;
    if (balanced > best) CHECK(store.results().at(0).epoch >= epoch.epoch);
    best = std::max(best, balanced);
    if (epoch.epoch == 8) REQUIRE(balanced < best);
  }
  CHECK(store.results().at(0).metrics.at("balanced_accuracy") == best);
  const std::string table = train::study_markdown(study, store);
  CHECK(contains(table, "| best on test |"));
  CHECK(contains(table, "optimistic"));
  study.best_on_test = false;
  CHECK_FALSE(contains(train::study_markdown(study, store), "optimistic"));
}

TEST_CASE("study: a method on some data sets, with settings of its own on each", "[train][study]") {
  const Folder folder;
  Study study = small_study(folder);
  study.seeds = {0};
  study.baseline = "SGD";
  study.datasets.push_back({.name = "tail", .fields = {{"data.imbalance", std::string("exp:0.5")}}});
  study.methods.push_back(study.methods[1]);
  study.methods[1].datasets = {"even"};
  study.methods[2].datasets = {"tail"};
  study.methods[2].choose = {{{"lr", 0.001}, {"lr", 0.01}}};
  StudyStore store(folder.results());
  Trained trained;
  REQUIRE(run_study(study, store, trained.options()));
  REQUIRE(trained.runs.size() == 6);
  const std::vector<std::string> first(trained.runs.begin(), trained.runs.begin() + 5);
  CHECK(first == std::vector<std::string>{"even, SGD, seed 0", "even, Adam, seed 0",
                                          "choosing: tail, Adam (lr = 0.001), seed 0",
                                          "choosing: tail, Adam (lr = 0.01), seed 0", "tail, SGD, seed 0"});
  CHECK(contains(trained.runs[5], "tail, Adam (lr = 0.0"));
  const std::vector<train::StudyRow> rows = train::study_table(study, store);
  REQUIRE(rows.size() == 4);
  CHECK(rows[1].setting.empty());
  CHECK(contains(rows[3].setting, "lr = "));
  CHECK(rows[3].minus_baseline.at("accuracy").spread.n == 1);
  CHECK(train::study_choices(study, store).size() == 1);
}

TEST_CASE("study: what is wrong is found before anything runs", "[train][study]") {
  const Folder folder;
  const StudyStore store(folder.results());
  const auto refusal = [&](const auto& change) {
    Study study = small_study(folder);
    change(study);
    return message_of<ValueError>([&] { train::study_runs(study, store); });
  };
  CHECK(contains(refusal([](Study& s) { s.datasets.clear(); }), "data set"));
  CHECK(contains(refusal([](Study& s) { s.methods.clear(); }), "method"));
  CHECK(contains(refusal([](Study& s) { s.methods[0].name = "Adam"; }), "'Adam' twice on 'even'"));
  CHECK(contains(refusal([](Study& s) { s.methods[0].name = ""; }), "name"));
  CHECK(contains(refusal([](Study& s) { s.methods[0].datasets = {"odd"}; }),
                 "'SGD' (a.toml:4) on data sets of small, even; got 'odd'"));
  CHECK(contains(refusal([](Study& s) { s.datasets.push_back(s.datasets[0]); }), "'even' twice"));
  CHECK(contains(refusal([](Study& s) { s.seeds = {1, 2, 1}; }), "1 twice"));
  CHECK(contains(refusal([](Study& s) { s.choosing_seeds = {2, 2}; }), "2 twice"));
  CHECK(contains(refusal([](Study& s) { s.seeds = {}; }), "neither"));
  CHECK(contains(refusal([](Study& s) { s.baseline = "SDG"; }), "SGD, Adam; got 'SDG'"));
  CHECK(contains(refusal([](Study& s) { s.validation = 1; }), "(0, 1)"));
  CHECK(contains(refusal([](Study& s) { s.shots = {.many = 1, .few = 2}; }), "few <= many"));
  CHECK(contains(refusal([](Study& s) { s.methods[0].choose = {{}}; }), "'SGD' has something"));
  const std::string misfit = refusal([](Study& s) { s.methods[1].choose = {{{"momentum", 0.5}}}; });
  CHECK(contains(misfit, "'Adam' (a.toml:5) on 'even' (a.toml:3) with momentum = 0.5; [recipe] expected momentum"));
  CHECK(contains(refusal([](Study& s) { s.base.push_back({"seed", std::int64_t{1}}); }), "study's own list"));
  CHECK(contains(refusal([](Study& s) { s.base.push_back({"data.validation", 0.1}); }), "[choosing]"));
  CHECK(contains(refusal([](Study& s) { s.base.push_back({"lamda", 0.1}); }), "'lamda'"));
}
