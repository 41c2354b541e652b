// heft train --resume: the run that goes on, and what its command line may still say.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>

#include "train/recipe.h"

namespace heft::cli {

// A run as its checkpoint has it, before anything is prepared.
struct ResumedRun {
  std::string folder;
  std::string state;  // the file
  std::map<std::string, std::string> metadata;
};
// `path`: the folder, or one of the checkpoints in it. Throws DataError, saying which checkpoint is left where one is damaged.
ResumedRun find_run(const std::string& path);

// What a run is told besides its recipe, and goes on with when it is resumed.
struct RunHabits {
  std::optional<int> early_stopping = {};            // epochs without a better one after which it ends; 0: it does not
  std::optional<int> keep = {};                      // train::CheckpointOptions
  std::optional<std::string> checkpoint_every = {};  // train::read_checkpoint_every
};
// Each as given; else as the run had it; else 0, 1 and 5min.
RunHabits settled(const RunHabits& given, const std::optional<ResumedRun>& run);

// What a checkpoint says of the run in its metadata, for one that resumes it. `habits` are settled.
std::map<std::string, std::string> run_metadata(const train::Setup& setup, const RunHabits& habits);

// Sets `recipe`, which the options of `command` write to, to that of the run; with the epochs and the folder of the data that
// are given, if any. Threads are those of the run unless they are given. Throws ValueError naming a flag that says another
// thing than the run.
void take_recipe(const ResumedRun& run, CLI::App& command, train::Recipe& recipe);
// Throws DataError unless the data are those that the run has had so far.
void check_same_data(const ResumedRun& run, const train::Setup& setup);

}  // namespace heft::cli
