#include "cli/study_run.h"

#include <fmt/format.h>

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>

#include "cli/commands.h"
#include "cli/json_file.h"
#include "cli/machine.h"
#include "cli/output.h"
#include "cli/run.h"
#include "cli/run_folder.h"
#include "cli/threads_flag.h"
#include "core/check.h"
#include "core/parallel.h"
#include "core/version.h"
#include "train/atomic_file.h"
#include "train/progress.h"
#include "train/study_table.h"

namespace heft::cli {
namespace {

std::map<std::string, std::string> environment(int jobs, int threads) {
  return {{"heft", HEFT_VERSION},
          {"processor", processor()},
          {"cores", std::to_string(std::thread::hardware_concurrency())},
          {"system", operating_system()},
          {"jobs", std::to_string(jobs)},
          {"threads", std::to_string(threads)}};
}

// Steps of a run. Loads every kind of data once, so that what is missing or damaged shows before the first run.
class Steps {
 public:
  std::int64_t operator()(const train::Recipe& recipe) {
    nlohmann::json data = nlohmann::json::parse(train::to_json(recipe))["data"];
    data.erase("seed");
    const auto [found, is_new] = sizes_.try_emplace(data.dump(), 0);
    if (is_new) found->second = train::load_datasets(recipe.data).train->size();
    return recipe.epochs * ((found->second + recipe.batch_size - 1) / recipe.batch_size);
  }

 private:
  std::map<std::string, std::int64_t> sizes_;
};

// All runs on one progress line.
class StudyProgress {
 public:
  StudyProgress(const train::Study& study, const train::StudyStore& store) {
    std::int64_t total = 0;
    for (const train::StudyRun& run : train::study_runs(study, store))
      if (run.open || train::study_result(study, store, run) == nullptr) total += steps_(run.recipe);
    progress_ = std::make_unique<train::Progress>(std::max<std::int64_t>(total, 1), train::ProgressOptions{.out = &notes()});
  }
  void step(const train::StudyRun& run, const train::StepReport& step) {
    under_way_[str(run)] = (step.epoch - 1) * step.steps + step.step;
    std::int64_t done = finished_;
    for (const auto& [name, steps] : under_way_) done += steps;
    if (under_way_.size() > 1) return progress_->update(done, fmt::format("{} runs under way", under_way_.size()));
    progress_->update(done,
                      fmt::format("{}  epoch {}/{}  loss {:.3f}", str(run), step.epoch, run.recipe.epochs, step.mean_loss));
  }
  // Counts the steps that a diverged run did not make, too.
  void finish(const train::StudyRun& run, const train::StudyResult& result) {
    finished_ += steps_(run.recipe);
    under_way_.erase(str(run));
    progress_->print(text(run, result));
  }
  void print(const std::string& line) { progress_->print(line); }

 private:
  static std::string text(const train::StudyRun& run, const train::StudyResult& result) {
    if (result.diverged) return str(run) + ": diverged";
    return fmt::format("{}: {}accuracy {} %, balanced {} %, worst class {} %{}", str(run), run.choosing ? "held out, " : "",
                       percent(result.metrics.at("accuracy")), percent(result.metrics.at("balanced_accuracy")),
                       percent(result.metrics.at("worst_class_accuracy")), result.collapsed_to ? ", collapsed" : "");
  }

  Steps steps_;
  std::unique_ptr<train::Progress> progress_;
  std::int64_t finished_ = 0;                      // steps of runs that are
  std::map<std::string, std::int64_t> under_way_;  // steps made, by run
};

// Two programs at work in one folder would each write their own results over the other's. Gone when this process is.
void lock_folder(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / ".lock").string();
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  check<DataError>(file >= 0, "study", "expected to write in {}; {}", folder, std::strerror(errno));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  check<ValueError>(::fcntl(file, F_SETLK, &whole) == 0, "study", "expected {} for this study alone; another is at work in it",
                    folder);
}

// Its tables would be replaced. One of the same name is the same, changed.
void check_same_study(const train::Study& study, const std::string& path) {
  if (!std::filesystem::exists(path)) return;
  const std::string there = read_object(path, {{"name", Kind::text}})["name"].get<std::string>();
  check(there == study.name, "study", "expected a folder for the study {} alone (--out); {} is of another, {}", study.name,
        path, there);
}

void print_list(const train::Study& study, const train::StudyStore& store) {
  std::size_t finished = 0;
  const std::vector<train::StudyRun> runs = train::study_runs(study, store);
  for (const train::StudyRun& run : runs) {
    const bool done = !run.open && train::study_result(study, store, run) != nullptr;
    finished += done;
    results() << fmt::format("{}  {}\n", done ? "finished" : "to do   ", str(run));
  }
  results() << fmt::format("{} runs, {} finished\n", runs.size(), finished);
}

}  // namespace

void add_study_flags(CLI::App& command, StudyFlags& flags) {
  command.add_flag("--list", flags.list, "Say what would be run, and what is finished");
  command.add_option("--jobs", flags.jobs, "Runs at once, each a process")
      ->check(CLI::Range(1, kMostThreads))
      ->capture_default_str();
  command
      .add_option("--threads", flags.threads, "Threads of the CPU for each job [OMP_NUM_THREADS, or the cores, over the jobs]")
      ->check(CLI::Range(1, kMostThreads));
  add_json_flag(command, flags.json, "In the end the table as JSON on stdout, what is in study.json");
}

int run_study(const train::Study& study, const std::string& out, const StudyFlags& flags) {
  const auto file = [&out](const char* name) { return (std::filesystem::path(out) / name).string(); };
  if (!flags.list) {
    check(!holds_a_run(out), "study", "expected a folder without a run (--out); {} holds one", out);
    const train::StudyStore none("");  // the runs that choose have every data set and setting
    for (const train::StudyRun& run : train::study_runs(study, none)) check_out_of_data("study", out, run.recipe.data);
    std::filesystem::create_directories(out);
    lock_folder(out);
    check_same_study(study, file("study.json"));
  }
  train::StudyStore store(file("results.jsonl"));
  if (flags.list) {
    print_list(study, store);
    return kSuccess;
  }
  const int cores = num_threads();
  const int threads = flags.threads.value_or(std::max(1, cores / flags.jobs));
  warn_of_threads(flags.jobs * threads);
  set_num_threads(flags.jobs == 1 ? threads : 1);
  StudyProgress progress(study, store);  // finds what is wrong
  train::write_atomically(file("study.toml"), study.text);
  const StopSignals signals;
  train::StudyOptions options{
      .jobs = flags.jobs, .threads = threads, .stop = interrupted, .environment = environment(flags.jobs, threads)};
  const auto write_tables = [&] { train::write_study_tables(out, study, store, options.environment); };
  options.on_step = [&](const train::StudyRun& run, const train::StepReport& step) { progress.step(run, step); };
  options.say = [&](const std::string& sentence) { progress.print("heft: " + sentence); };
  options.on_result = [&](const train::StudyRun& run, const train::StudyResult& result) {
    progress.finish(run, result);
    write_tables();
  };
  const bool finished = train::run_study(study, store, options);
  write_tables();
  if (!finished) {
    notes() << fmt::format("heft: stopped; {} holds the runs that were finished, the same command goes on after them\n", out);
    return interrupted_exit_code();
  }
  if (flags.json) {
    print_json(nlohmann::ordered_json::parse(train::study_json(study, store, options.environment)));
    return kSuccess;
  }
  results() << train::study_markdown(study, store)
            << fmt::format("\nwritten to {}: study.toml results.jsonl table.md table.csv study.json\n", out);
  return kSuccess;
}

}  // namespace heft::cli
