#include "train/study.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/check.h"
#include "core/parallel.h"
#include "train/date.h"
#include "train/workers.h"

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

// The first run that is neither finished nor waiting for its setting nor `under_way`, maybe under another name; empty: none.
std::optional<StudyRun> next_run(const Study& study, const StudyStore& store, const std::map<int, StudyRun>& under_way) {
  for (const StudyRun& run : study_runs(study, store)) {
    if (run.open || study_result(study, store, run) != nullptr) continue;
    const std::string recipe = to_json(run.recipe);
    if (std::none_of(under_way.begin(), under_way.end(),
                     [&](const auto& other) { return to_json(other.second.recipe) == recipe; }))
      return run;
  }
  return {};
}

bool run_here(const Study& study, StudyStore& store, const StudyOptions& options) {
  LastData data;
  while (const std::optional<StudyRun> run = next_run(study, store, {})) {
    say_what_changed(store, *run, options);
    const std::optional<StudyResult> result = train_run(study, *run, data(run->recipe), options);
    if (!result) return false;
    store.add(*result);
    if (options.on_result) options.on_result(*run, *result);
  }
  return true;
}

// What a worker reports: a step, or the line of the result.
std::string step_line(const StepReport& step) {
  return fmt::format("{} {} {} {}", step.epoch, step.step, step.steps, step.mean_loss);
}
StepReport read_step_line(const std::string& line) {
  StepReport step;
  std::istringstream(line) >> step.epoch >> step.step >> step.steps >> step.mean_loss;
  return step;
}

bool run_in_workers(const Study& study, StudyStore& store, const StudyOptions& options) {
  LastData data;
  Workers workers;
  std::map<int, StudyRun> under_way;  // by worker
  for (int started = 0; !options.stop || !options.stop();) {
    while (static_cast<int>(under_way.size()) < options.jobs) {
      const std::optional<StudyRun> run = next_run(study, store, under_way);
      if (!run) break;
      say_what_changed(store, *run, options);
      const DataSets& sets = data(run->recipe);
      workers.start(++started, [&](const Workers::Report& report) {
        set_num_threads(options.threads);
        const auto on_step = [&report](const StudyRun&, const StepReport& step) { report(step_line(step)); };
        report(result_line(*train_run(study, *run, sets, {.on_step = on_step, .environment = options.environment})));
      });
      under_way.emplace(started, *run);
    }
    if (under_way.empty()) return true;
    const std::optional<Workers::Line> line = workers.next(1);
    if (!line) continue;
    const StudyRun& run = under_way.at(line->worker);
    if (!line->text) {
      under_way.erase(line->worker);
    } else if (line->text->starts_with('{')) {
      store.add(read_result_line(*line->text));
      if (options.on_result) options.on_result(run, store.results().back());
    } else if (options.on_step) {
      options.on_step(run, read_step_line(*line->text));
    }
  }
  return false;
}

}  // namespace

bool run_study(const Study& study, StudyStore& store, const StudyOptions& options) {
  check(options.jobs >= 1 && options.threads >= 1, kOp, "expected at least 1 job and 1 thread; got {} and {}", options.jobs,
        options.threads);
  return options.jobs == 1 ? run_here(study, store, options) : run_in_workers(study, store, options);
}

}  // namespace heft::train
