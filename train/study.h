// Study: methods x seeds x data sets, the settings of a method chosen on a held-out part of the training set. Runs that are
// finished are kept (train/study_store.h) and not run again; train/study_table.h says what they amount to.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/metrics.h"
#include "train/fit.h"
#include "train/recipe_fields.h"
#include "train/study_store.h"

namespace heft::train {

// A data set or a method: the fields of a recipe that make it what it is.
struct StudyFields {
  std::string name = {};
  std::string where = {};  // it stands, for errors: "quick.toml:12"
  RecipeFields fields = {};
};
struct StudyMethod : StudyFields {
  // Those that it runs on, by name; empty: all. Methods may share a name where they share no data set: settings that differ.
  std::vector<std::string> datasets = {};
  // To be chosen: for each such field its alternatives. The grid is their product, the last field varying fastest.
  std::vector<RecipeFields> choose = {};
};

struct Study {
  std::string name;
  std::string text = {};  // of the file it comes from
  // Each is the recipe's seed and, unless the file gives data.seed, the data's. None: settings are chosen, that is all.
  std::vector<std::uint64_t> seeds;
  RecipeFields base = {};  // of every run; then come those of the data set, of the method and of its chosen setting
  std::vector<StudyFields> datasets = {};
  std::vector<StudyMethod> methods = {};
  std::string baseline = {};  // a method that the others are compared to, seed by seed; empty: none
  // The numbers of a run are those of its last epoch; or, with best_on_test, of the epoch with the highest balanced accuracy on
  // the test set, which is optimistic.
  bool best_on_test = false;
  double validation = 0.2;                         // share of the training set to hold out where settings are chosen
  std::vector<std::uint64_t> choosing_seeds = {};  // empty: the first of `seeds`
  data::ShotThresholds shots = {};
};

struct StudyRun {
  std::string dataset, method;
  bool choosing = false;      // trained without the held-out part, scored on it
  RecipeFields setting = {};  // what the grid gives the recipe
  bool open = false;          // the setting is yet to be chosen; meanwhile it is the grid's first
  std::uint64_t seed = 0;
  Recipe recipe = {};  // resolved
};
bool runs_on(const StudyMethod& method, const StudyFields& dataset);
// "choosing: long tail, ABSGD (lambda = 5), seed 1"
std::string str(const StudyRun& run);

// A setting that was tried and its score: balanced accuracy on the held-out part after the last epoch, mean over the
// choosing seeds. Unset: not all of its runs are there, or one diverged.
struct StudyTrial {
  RecipeFields setting = {};
  std::optional<double> score = {};
  bool diverged = false;
};
struct StudyChoice {
  std::string dataset, method;
  std::vector<StudyTrial> trials = {};
  // The trial with the highest score, the first of equals; the first of all where every one diverged. Unset: some are not
  // finished.
  std::optional<std::size_t> chosen = {};
};

// Every run of the study in the order in which it is run: for each data set those that choose, then seed by seed the methods.
// Checks all that can be checked without data: ValueError names the place and the field.
std::vector<StudyRun> study_runs(const Study& study, const StudyStore& store);
// The run's result, or null.
const StudyResult* study_result(const Study& study, const StudyStore& store, const StudyRun& run);
// One for each data set and method with something to choose.
std::vector<StudyChoice> study_choices(const Study& study, const StudyStore& store);

struct StudyOptions {
  // Runs that are trained at once; several: each in a process of its own (train/workers.h) with that many threads, and the
  // same numbers as one after another with as many. What is called back is called here.
  int jobs = 1;
  int threads = 1;  // of each of several jobs; 1 where this process has used more
  std::function<void(const StudyRun& run, const StepReport& step)> on_step = nullptr;
  // After each run that was not there before, `store` already having it.
  std::function<void(const StudyRun& run, const StudyResult& result)> on_result = nullptr;
  // A sentence about a run whose recipe is not the one that was run before.
  std::function<void(const std::string& sentence)> say = nullptr;
  // Asked after each step; true ends the study there, the runs that are finished being kept.
  std::function<bool()> stop = nullptr;
  std::map<std::string, std::string> environment = {};  // goes to every result
};
// Runs what `store` does not have and adds it. A run that diverges becomes a result that says so. False: it was stopped.
bool run_study(const Study& study, StudyStore& store, const StudyOptions& options = {});

}  // namespace heft::train
