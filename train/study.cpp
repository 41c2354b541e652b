#include "train/study.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "study";

// The data of the run before are the data of the next more often than not.
class LastData {
 public:
  const DataSets& operator()(const Recipe& recipe) {
    const std::string key = nlohmann::json::parse(to_json(recipe))["data"].dump();
    if (key != key_) {
      data_ = DataSets();
      key_.clear();
      data_ = load_datasets(recipe.data);
      key_ = key;
    }
    return data_;
  }

 private:
  std::string key_;
  DataSets data_;
};

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

double steps_of(const Setup& setup) {
  const std::int64_t batches = setup.loader->size(), each = setup.recipe.accumulate;
  return static_cast<double>((batches + each - 1) / each);
}

void add_numbers(StudyResult& result, const Setup& setup, const std::vector<EpochReport>& epochs, const EpochReport& reported,
                 const Evaluation& on) {
  result.epoch = reported.epoch;
  result.train_loss = reported.train_loss;
  result.collapsed_to = reported.collapsed_to;
  result.class_counts = setup.data.class_counts;
  result.per_class_accuracy = on.per_class_accuracy;
  for (const EpochReport& epoch : epochs) result.seconds += epoch.seconds;
  result.metrics = {{"accuracy", on.accuracy},
                    {"balanced_accuracy", on.balanced_accuracy},
                    {"worst_class_accuracy", on.worst_class_accuracy},
                    {"calibration_error", on.calibration_error},
                    {"ms_per_step", 1000 * result.seconds / (steps_of(setup) * static_cast<double>(epochs.size()))}};
  if (reported.memorised) result.metrics["memorised"] = *reported.memorised;
}

// Empty: stopped.
std::optional<StudyResult> train_run(const Study& study, const StudyRun& run, DataSets data, const StudyOptions& options) {
  StudyResult result{.dataset = run.dataset, .method = run.method, .choosing = run.choosing, .setting = str(run.setting)};
  result.seed = run.seed;
  result.recipe = to_json(run.recipe);
  result.best_on_test = !run.choosing && study.best_on_test;
  result.environment = options.environment;
  const data::DatasetPtr judge = run.choosing ? data.validation : data.test;
  if (run.choosing) data.test = nullptr;
  try {
    Setup setup = prepare(run.recipe, std::move(data));
    setup.fit.test = result.best_on_test ? judge : nullptr;
    setup.fit.validation = nullptr;
    setup.fit.stop = options.stop;
    if (options.on_step) setup.fit.on_step = [&](const StepReport& step) { options.on_step(run, step); };
    const FitResult fitted = fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
    if (fitted.stopped) return {};
    if (result.best_on_test) {
      const auto best = std::max_element(
          fitted.epochs.begin(), fitted.epochs.end(),
          [](const EpochReport& a, const EpochReport& b) { return a.test->balanced_accuracy < b.test->balanced_accuracy; });
      add_numbers(result, setup, fitted.epochs, *best, *best->test);
    } else {
      const Evaluation last = evaluate(
          *setup.net, judge,
          {.normalize = setup.data.normalize, .loss = setup.fit.evaluation_loss ? setup.fit.evaluation_loss : setup.fit.loss});
      check<NumericError>(std::isfinite(last.mean_loss), kOp, "expected a finite loss after the last epoch; got {}",
                          last.mean_loss);
      add_numbers(result, setup, fitted.epochs, fitted.epochs.back(), last);
    }
  } catch (const NumericError& error) {
    result.diverged = error.what();
  }
  result.finished = now_utc();
  return result;
}

void say_what_changed(const StudyStore& store, const StudyRun& run, const StudyOptions& options) {
  const StudyResult* before = store.find_like(
      {.dataset = run.dataset, .method = run.method, .choosing = run.choosing, .setting = str(run.setting), .seed = run.seed});
  if (before == nullptr || !options.say) return;
  const std::string changes = recipe_changes(before->recipe, to_json(run.recipe));
  options.say(fmt::format("{} is run again: {}", str(run),
                          changes.empty() ? "another epoch is to be reported" : "its recipe is another now: " + changes));
}

}  // namespace

bool run_study(const Study& study, StudyStore& store, const StudyOptions& options) {
  LastData data;
  while (true) {
    // Again after each run: the setting of an open one is chosen by then.
    const std::vector<StudyRun> runs = study_runs(study, store);
    const auto next = std::find_if(
        runs.begin(), runs.end(), [&](const StudyRun& run) { return !run.open && study_result(study, store, run) == nullptr; });
    if (next == runs.end()) return true;
    say_what_changed(store, *next, options);
    const std::optional<StudyResult> result = train_run(study, *next, data(next->recipe), options);
    if (!result) return false;
    store.add(*result);
    if (options.on_result) options.on_result(*next, *result);
  }
}

}  // namespace heft::train
