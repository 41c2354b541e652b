#include "cli/run_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <ostream>

#include "cli/manifest.h"
#include "cli/output.h"
#include "core/check.h"
#include "train/atomic_file.h"
#include "train/model_file.h"
#include "train/recipe_fields.h"
#include "train/safetensors.h"

namespace heft::cli {
namespace {

train::CheckpointOptions checkpoint_options(const RunHabits& habits) {
  train::CheckpointOptions options = train::read_checkpoint_every(habits.checkpoint_every.value());
  options.keep = habits.keep.value();
  return options;
}

}  // namespace

RunFiles::RunFiles(std::string folder, train::Setup& setup, const std::optional<ResumedRun>& resumed,
                   const RunFilesOptions& options)
    : folder_(std::move(folder)),
      mine_(folder_),
      setup_(setup),
      habits_(settled(options.habits, resumed)),
      checkpoints_(folder_, checkpoint_options(habits_)),
      patience_(*habits_.early_stopping) {
  check(patience_ == 0 || setup.data.validation != nullptr, "train",
        "expected --early-stopping with images to judge by, --val-split above 0; got none");
  train::remove_stale_temporaries(folder_);
  train::remove_stale_temporaries(file("checkpoints"));
  train::RunState before;
  run_metadata_ = run_metadata(setup, habits_);
  if (resumed) before = load(*resumed);
  // A run that began without records goes on without: half of them would be wrong.
  const bool records = options.record && !(resumed && before.records.empty());
  if (resumed) {
    // Whatever may refuse what is there, before anything of it is replaced.
    train::first_lines(file("metrics.jsonl"), before.epochs);
    if (records) train::check_records(folder_, before.records);
    go_back(*resumed, before);
  } else {
    begin_anew();
  }
  metrics_.emplace(file("metrics.jsonl"), before.epochs);
  if (records)
    recorder_.emplace(folder_, *setup.loader,
                      train::RecorderOptions{.first_epoch = before.epochs + 1,
                                             .state = before.records,
                                             .every = train::default_every(setup.loader->size(), setup.recipe.epochs),
                                             .accumulate = setup.fit.accumulate});
  train::write_atomically(file("config.json"), train::to_json(setup.recipe) + '\n');
  train::write_atomically(file("config.toml"), train::to_toml(train::fields_of(setup.recipe)));
  write_manifest(folder_, setup, resumed.has_value());
  setup.fit.first_epoch = before.epochs + 1;
  setup.fit.part = before.part;
  bind();
}

train::RunState RunFiles::load(const ResumedRun& run) {
  check_same_data(run, setup_);
  train::RunState state = train::load_run(run.state, *setup_.net, *setup_.optimizer);
  check<ValueError>(state.epochs < setup_.recipe.epochs, "train",
                    "expected a run that has not ended, or --epochs beyond the {} that the run in {} has had; it is to have {}",
                    state.epochs, folder_, setup_.recipe.epochs);
  if (setup_.memory) setup_.memory->load_state(state.loss);
  best_.load_state(state.best);
  check(!is_over(state.epochs), "train",
        "expected a run that has not ended; that in {} ended early after epoch {}: more --early-stopping than {} goes on",
        folder_, state.epochs, patience_);
  return state;
}

// What is there of later epochs goes, the newest state first: a kill in between leaves one run, not parts of two.
void RunFiles::go_back(const ResumedRun& run, const train::RunState& to) {
  std::error_code none;
  const bool is_newest = std::filesystem::equivalent(run.state, train::newest_state(folder_), none);
  if (!is_newest) {
    train::RunState state = to;
    state.metadata = run_metadata_;
    checkpoints_.save(*setup_.net, *setup_.optimizer, state);
  }
  remove("model.safetensors");
  // A kill may have come between the best weights of an epoch and its state: that epoch is repeated, and they are its.
  if (best_.epoch() == 0 || best_is_there(is_newest ? to.epochs + 1 : best_.epoch())) return;
  remove("best.safetensors");
  if (to.epochs == best_.epoch() && to.part == nullptr) save_best();
  else
    notes() << fmt::format("heft: best.safetensors of epoch {} is gone; there is one again with a better epoch\n",
                           best_.epoch());
}

std::map<std::string, std::string> RunFiles::about_best() const {
  return {{"epoch", std::to_string(best_.epoch())},
          {fmt::format("{}_balanced_accuracy", best_.which()), fmt::format("{}", best_.balanced_accuracy())}};
}

void RunFiles::save_best() { train::save_model_file(file("best.safetensors"), *setup_.net, setup_.info, about_best()); }

bool RunFiles::best_is_there(int or_of_epoch) const {
  try {
    std::map<std::string, std::string> metadata = train::read_safetensors(file("best.safetensors")).metadata;
    if (or_of_epoch != best_.epoch() && metadata["epoch"] == std::to_string(or_of_epoch)) return true;
    for (const auto& [name, text] : about_best())
      if (metadata[name] != text) return false;
    return true;
  } catch (const DataError&) {
    return false;
  }
}

// What is there is of another run.
void RunFiles::begin_anew() const {
  train::remove_checkpoints(folder_);
  train::remove_records(folder_);
  for (const char* name : {"model.safetensors", "best.safetensors"}) remove(name);
}

void RunFiles::remove(const char* name) const {
  std::error_code error;
  std::filesystem::remove(file(name), error);
  check<WriteError>(!error, "train", "expected to remove {}, which is of before; the system says: {}", file(name),
                    error.message());
}

void RunFiles::bind() {
  train::FitOptions& fit = setup_.fit;
  if (recorder_) fit.on_batch = [this](const train::BatchReport& report) { recorder_->add(report); };
  fit.checkpoint_due = [this](const train::StepReport&) { return checkpoints_.due(); };
  fit.on_checkpoint = [this](int epoch, const train::EpochPart& part) {
    save(epoch - 1, std::make_shared<train::EpochPart>(part));
  };
  fit.enough = [this](const train::EpochReport& report) { return is_over(report.epoch); };
}

void RunFiles::end_epoch(const train::EpochReport& report) {
  metrics_->add(report);
  if (recorder_) recorder_->end_epoch(report);
  if (best_.add(report)) save_best();
  // Before the state that says that all is done: a kill in between repeats the epoch, which gives the same weights.
  if (report.epoch == setup_.recipe.epochs || is_over(report.epoch))
    train::save_model_file(file("model.safetensors"), *setup_.net, setup_.info);
  save(report.epoch, nullptr);
}

void RunFiles::save(int epochs, std::shared_ptr<const train::EpochPart> part) {
  using State = std::map<std::string, Tensor>;
  metrics_->sync();
  checkpoints_.save(*setup_.net, *setup_.optimizer,
                    {.epochs = epochs,
                     .part = std::move(part),
                     .metadata = run_metadata_,
                     .loss = setup_.memory ? setup_.memory->state() : State{},
                     .records = recorder_ ? recorder_->state() : State{},
                     .best = best_.state()});
}

std::string RunFiles::file(const char* name) const { return (std::filesystem::path(folder_) / name).string(); }

}  // namespace heft::cli
