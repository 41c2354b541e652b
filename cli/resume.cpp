#include "cli/resume.h"
#include "cli/json_file.h"
#include "cli/output.h"
#include "cli/run_folder.h"
#include "cli/threads_flag.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <ostream>

#include "core/check.h"
#include "core/parallel.h"
#include "train/checkpoints.h"
#include "train/image_sources.h"
#include "train/recipe_text.h"
#include "train/run_state.h"

namespace heft::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOp = "train";
constexpr const char *kRecipe = "recipe", *kThreads = "threads", *kData = "training_data", *kEarlyStopping = "early_stopping",
                     *kKeep = "keep", *kEvery = "checkpoint_every";

const std::string& entry(const ResumedRun& run, const char* name) {
  const auto found = run.metadata.find(name);
  check<DataError>(found != run.metadata.end(), kOp,
                   "expected '{}' in the metadata of {}, as heft train writes it; there is none", name, run.state);
  return found->second;
}

int count(const ResumedRun& run, const char* name) {
  int value = -1;
  check<DataError>(CLI::detail::lexical_cast(entry(run, name), value) && value >= 0, kOp,
                   "expected a count as '{}' in the metadata of {}; got '{}'", name, run.state, entry(run, name));
  return value;
}

std::string data_text(const train::Setup& setup) {
  return fmt::format("{} images, by class {}", setup.data.train->size(), fmt::join(setup.data.class_counts, ", "));
}

// What may differ: how long the run is, and where its data are now.
void copy_what_may_differ(const train::Recipe& from, train::Recipe& to) {
  to.epochs = from.epochs;
  to.data.dir = from.data.dir;
  if (train::is_image_source(from.data) && train::is_image_source(to.data)) to.data.data = from.data.data;
}

// The settings that a run wrote beside its state are of that state, or somebody has put another's there.
void check_same_run(const ResumedRun& run, const train::Recipe& recipe) {
  const fs::path path = fs::path(run.folder) / "config.json";
  if (!fs::exists(path)) return;
  const Json written = parse_object(read_file(path.string()), {path.string()}).flatten(),
             state = Json::parse(train::to_json(recipe)).flatten();
  for (const auto& [name, value] : written.items()) {
    if (name == "/epochs" || name == "/data/dir" || name == "/data/data") continue;
    check<DataError>(!state.contains(name) || state[name] == value, kOp,
                     "expected the state of the run in {}, whose config.json has {} {}; {} is of a run with {}", run.folder,
                     name.substr(1), value.dump(), run.state, state.value(name, Json()).dump());
  }
}

}  // namespace

ResumedRun find_run(const std::string& path) {
  ResumedRun run{.folder = path, .state = train::newest_state(path), .metadata = {}};
  if (fs::is_regular_file(path)) {
    run.state = path;
    const fs::path within = fs::path(path).parent_path();
    run.folder = (within.filename() == "checkpoints" ? within.parent_path() : within).string();
    if (run.folder.empty()) run.folder = ".";
    check<DataError>(
        fs::exists(fs::path(run.folder) / "metrics.jsonl"), kOp,
        "expected a checkpoint in the folder of its run, beside metrics.jsonl; {} is not (a new run begins with its "
        "weights by --init)",
        path);
  }
  check<DataError>(fs::exists(run.folder), kOp, "expected the folder of a run; there is no {}", path);
  if (!fs::exists(run.state) && train::last_kept(run.folder).empty())
    fail<DataError>(kOp, "expected a run that has saved its state in {}; {}", run.folder,
                    holds_a_run(run.folder)
                        ? "it ended before its first checkpoint: start it again with --overwrite instead of "
                          "--resume, and with a lower --lr or a warm-up if it had diverged"
                        : "there is no run");
  try {
    run.metadata = train::read_run_metadata(run.state);
  } catch (const DataError& error) {
    const std::string other = train::last_kept(run.folder);
    if (other.empty() || fs::weakly_canonical(other) == fs::weakly_canonical(run.state)) throw;
    fail<DataError>(kOp, "expected a checkpoint to go on from; {}. The one of the last epoch that was kept: --resume {}",
                    error.what(), other);
  }
  return run;
}

RunHabits settled(const RunHabits& given, const std::optional<ResumedRun>& run) {
  return {.early_stopping = given.early_stopping.value_or(run ? count(*run, kEarlyStopping) : 0),
          .keep = given.keep.value_or(run ? count(*run, kKeep) : 1),
          .checkpoint_every = given.checkpoint_every.value_or(run ? entry(*run, kEvery) : "5min")};
}

std::map<std::string, std::string> run_metadata(const train::Setup& setup, const RunHabits& habits) {
  return {{kRecipe, train::recipe_text(setup.recipe)},
          {kThreads, std::to_string(num_threads())},
          {kData, data_text(setup)},
          {kEarlyStopping, std::to_string(habits.early_stopping.value())},
          {kKeep, std::to_string(habits.keep.value())},
          {kEvery, habits.checkpoint_every.value()}};
}

void take_recipe(const ResumedRun& run, CLI::App& command, train::Recipe& recipe) {
  const train::Recipe begun = train::read_recipe(entry(run, kRecipe), run.state);
  check_same_run(run, begun);
  const CLI::Option* threads = command.get_option("--threads");
  for (CLI::Option* option : command.get_options()) {
    if (option->count() == 0 || option == threads) continue;
    recipe = begun;
    option->run_callback();
    copy_what_may_differ(begun, recipe);
    const std::string difference = train::difference(recipe, begun);
    check(difference.empty(), kOp,
          "expected --resume with no flag that says another thing than the run in {}; got {}, which makes {}", run.folder,
          option->get_name(), difference);
  }
  recipe = begun;
  for (const char* name : {"--epochs", "--data", "--data-dir"})
    if (CLI::Option* option = command.get_option(name); option->count() > 0) option->run_callback();
  const int before = count(run, kThreads);
  check<DataError>(before >= 1 && before <= kMostThreads, kOp, "expected 1 to {} threads in the metadata of {}; got {}",
                   kMostThreads, run.state, before);
  if (threads->count() == 0) {
    set_num_threads(before);
    warn_of_threads(before);
  } else if (num_threads() != before) {
    notes() << fmt::format("heft: the run had {} threads; with {} its numbers may differ in the last digits\n", before,
                           num_threads());
  }
}

void check_same_data(const ResumedRun& run, const train::Setup& setup) {
  const std::string& before = entry(run, kData);
  check<DataError>(before == data_text(setup), kOp, "expected the training data that the run in {} began with ({}); got {}",
                   run.folder, before, data_text(setup));
}

}  // namespace heft::cli
