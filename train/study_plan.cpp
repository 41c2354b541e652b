#include "train/study.h"

#include <algorithm>
#include <set>

#include "core/check.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "study";

void check_names(const Study& study) {
  std::set<std::string> datasets;
  for (const StudyFields& dataset : study.datasets) {
    check(!dataset.name.empty(), kOp, "expected a name for every data set of {}; one has none", study.name);
    check(datasets.insert(dataset.name).second, kOp, "expected another name for each data set of {}; got '{}' twice",
          study.name, dataset.name);
  }
  std::set<std::pair<std::string, std::string>> pairs;
  for (const StudyMethod& method : study.methods) {
    check(!method.name.empty(), kOp, "expected a name for every method of {}; one has none", study.name);
    for (const std::string& name : method.datasets)
      check(datasets.count(name) > 0, kOp, "expected '{}' ({}) on data sets of {}, {}; got '{}'", method.name, method.where,
            study.name, fmt::join(datasets, ", "), name);
    for (const StudyFields& dataset : study.datasets)
      check(!runs_on(method, dataset) || pairs.insert({dataset.name, method.name}).second, kOp,
            "expected another name for each method of {}, or other data sets; got '{}' twice on '{}'", study.name, method.name,
            dataset.name);
  }
}

void check_seeds(const std::string& study, const char* what, std::vector<std::uint64_t> seeds) {
  std::sort(seeds.begin(), seeds.end());
  const auto twice = std::adjacent_find(seeds.begin(), seeds.end());
  check(twice == seeds.end(), kOp, "expected every one of the {} of {} once; got {} twice", what, study,
        twice == seeds.end() ? 0 : *twice);
}

bool any_choice(const Study& study) {
  return std::any_of(study.methods.begin(), study.methods.end(), [](const StudyMethod& m) { return !m.choose.empty(); });
}

void check_study(const Study& study) {
  check(!study.datasets.empty(), kOp, "expected at least one data set in {}; got none", study.name);
  check(!study.methods.empty(), kOp, "expected at least one method in {}; got none", study.name);
  check_names(study);
  check_seeds(study.name, "seeds", study.seeds);
  check_seeds(study.name, "choosing seeds", study.choosing_seeds);
  check(!study.seeds.empty() || (any_choice(study) && !study.choosing_seeds.empty()), kOp,
        "expected seeds in {}, or choosing seeds and something to choose; got neither", study.name);
  check(study.validation > 0 && study.validation < 1, kOp, "expected a share to hold out in (0, 1) in {}; got {}", study.name,
        study.validation);
  check(study.shots.few <= study.shots.many, kOp, "expected shots with few <= many in {}; got {} and {}", study.name,
        study.shots.few, study.shots.many);
  std::vector<std::string> names;
  for (const StudyMethod& method : study.methods) {
    names.push_back(method.name);
    for (const RecipeFields& alternatives : method.choose)
      check(!alternatives.empty(), kOp, "expected alternatives wherever '{}' has something to choose; got none", method.name);
  }
  check(study.baseline.empty() || std::find(names.begin(), names.end(), study.baseline) != names.end(), kOp,
        "expected the baseline of {} to be one of its methods, {}; got '{}'", study.name, fmt::join(names, ", "),
        study.baseline);
}

std::vector<RecipeFields> grid(const StudyMethod& method) {
  std::vector<RecipeFields> settings{{}};
  for (const RecipeFields& alternatives : method.choose) {
    std::vector<RecipeFields> longer;
    for (const RecipeFields& setting : settings)
      for (const RecipeField& field : alternatives) {
        longer.push_back(setting);
        longer.back().push_back(field);
      }
    settings = std::move(longer);
  }
  return settings;
}

StudyRun make_run(const Study& study, const StudyFields& dataset, const StudyMethod& method, const RecipeFields& setting,
                  std::uint64_t seed, bool choosing) {
  StudyRun run{.dataset = dataset.name, .method = method.name, .choosing = choosing, .setting = setting, .seed = seed};
  run.recipe.seed = run.recipe.data.seed = seed;
  for (const RecipeFields* fields : {&study.base, &dataset.fields, &method.fields, &setting})
    for (const RecipeField& field : *fields) {
      check(field.name != "seed", kOp, "expected the seeds in the study's own list; got seed = {} at {}", str(field.value),
            field.where);
      check(field.name != "data.validation", kOp, "expected what is held out to choose under [choosing]; got {} = {} at {}",
            field.name, str(field.value), field.where);
      set_field(run.recipe, field);
    }
  if (choosing) run.recipe.data.validation = study.validation;
  try {
    run.recipe = resolved(run.recipe);
  } catch (const ValueError& error) {
    fail(kOp, "expected settings that fit together for '{}' ({}) on '{}' ({}){}; {}", method.name, method.where, dataset.name,
         dataset.where, setting.empty() ? "" : " with " + str(setting), error.what());
  }
  return run;
}

std::vector<StudyRun> choosing_runs(const Study& study, const StudyFields& dataset) {
  std::vector<std::uint64_t> seeds = study.choosing_seeds;
  if (seeds.empty()) seeds = {study.seeds.front()};
  std::vector<StudyRun> runs;
  for (const std::uint64_t seed : seeds)
    for (const StudyMethod& method : study.methods)
      if (!method.choose.empty() && runs_on(method, dataset))
        for (const RecipeFields& setting : grid(method)) runs.push_back(make_run(study, dataset, method, setting, seed, true));
  return runs;
}

StudyChoice choice(const Study& study, const StudyStore& store, const StudyFields& dataset, const StudyMethod& method) {
  StudyChoice choice{.dataset = dataset.name, .method = method.name};
  const std::vector<StudyRun> runs = choosing_runs(study, dataset);
  bool finished = true;
  std::optional<std::size_t> best;
  for (const RecipeFields& setting : grid(method)) {
    StudyTrial trial{.setting = setting};
    double sum = 0;
    int wanted = 0, scored = 0;
    for (const StudyRun& run : runs) {
      if (run.method != method.name || str(run.setting) != str(setting)) continue;
      ++wanted;
      const StudyResult* result = study_result(study, store, run);
      if (result == nullptr) finished = false;
      else if (result->diverged) trial.diverged = true;
      else sum += result->metrics.at("balanced_accuracy"), ++scored;
    }
    if (scored == wanted) trial.score = sum / wanted;
    choice.trials.push_back(trial);
    if (trial.score && (!best || *trial.score > *choice.trials[*best].score)) best = choice.trials.size() - 1;
  }
  if (finished) choice.chosen = best.value_or(0);
  return choice;
}

std::vector<StudyRun> final_runs(const Study& study, const StudyStore& store, const StudyFields& dataset) {
  struct Chosen {
    const StudyMethod& method;
    RecipeFields setting;
    bool open;
  };
  std::vector<Chosen> all;
  for (const StudyMethod& method : study.methods) {
    if (!runs_on(method, dataset)) continue;
    std::optional<std::size_t> chosen = 0;
    if (!method.choose.empty()) chosen = choice(study, store, dataset, method).chosen;
    all.push_back({method, grid(method)[chosen.value_or(0)], !chosen});
  }
  std::vector<StudyRun> runs;
  for (const std::uint64_t seed : study.seeds)
    for (const Chosen& chosen : all) {
      runs.push_back(make_run(study, dataset, chosen.method, chosen.setting, seed, false));
      runs.back().open = chosen.open;
    }
  return runs;
}

}  // namespace

bool runs_on(const StudyMethod& method, const StudyFields& dataset) {
  return method.datasets.empty() ||
         std::find(method.datasets.begin(), method.datasets.end(), dataset.name) != method.datasets.end();
}

const StudyResult* study_result(const Study& study, const StudyStore& store, const StudyRun& run) {
  return store.find(to_json(run.recipe), !run.choosing && study.best_on_test);
}

std::string str(const StudyRun& run) {
  const std::string setting = run.open ? "setting to be chosen" : str(run.setting);
  return fmt::format("{}{}, {}{}, seed {}", run.choosing ? "choosing: " : "", run.dataset, run.method,
                     setting.empty() ? "" : " (" + setting + ")", run.seed);
}

std::vector<StudyRun> study_runs(const Study& study, const StudyStore& store) {
  check_study(study);
  std::vector<StudyRun> all;
  for (const StudyFields& dataset : study.datasets)
    for (const std::vector<StudyRun>& runs : {choosing_runs(study, dataset), final_runs(study, store, dataset)})
      all.insert(all.end(), runs.begin(), runs.end());
  return all;
}

std::vector<StudyChoice> study_choices(const Study& study, const StudyStore& store) {
  std::vector<StudyChoice> choices;
  for (const StudyFields& dataset : study.datasets)
    for (const StudyMethod& method : study.methods)
      if (!method.choose.empty() && runs_on(method, dataset)) choices.push_back(choice(study, store, dataset, method));
  return choices;
}

}  // namespace heft::train
