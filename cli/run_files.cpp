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
  if (resumed) before = load(*resumed);
  else begin_anew();
  run_metadata_ = run_metadata(setup, habits_);
  // Before anything of a run that goes on is replaced: they may refuse what is there.
  metrics_.emplace(file("metrics.jsonl"), before.epochs);
  // A run that began without records goes on without: half of them would be wrong.
  if (options.record && !(resumed && before.records.empty()))
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
                    "expected a run that has not ended; that in {} has had {} of its {} epochs: --epochs with more goes on",
                    folder_, state.epochs, setup_.recipe.epochs);
  if (setup_.memory) setup_.memory->load_state(state.loss);
  best_.load_state(state.best);
  check(!is_over(state.epochs), "train",
        "expected a run that has not ended; that in {} ended early after epoch {}: more --early-stopping than {} goes on",
        folder_, state.epochs, patience_);
  if (best_.epoch() > 0 && !std::filesystem::exists(file("best.safetensors")))
    notes() << fmt::format("heft: best.safetensors is gone, which was of epoch {}: there is one again with a better epoch\n",
                           best_.epoch());
  return state;
}

// What is there is of another run.
void RunFiles::begin_anew() const {
  train::remove_checkpoints(folder_);
  train::remove_records(folder_);
  for (const char* name : {"model.safetensors", "best.safetensors"}) {
    std::error_code error;
    std::filesystem::remove(file(name), error);
    check<WriteError>(!error, "train", "expected to remove {}, which is of the run before; the system says: {}", file(name),
                      error.message());
  }
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
  if (best_.add(report))
    train::save_model_file(
        file("best.safetensors"), *setup_.net, setup_.info,
        {{"epoch", std::to_string(report.epoch)},
         {fmt::format("{}_balanced_accuracy", best_.which()), fmt::format("{}", best_.balanced_accuracy())}});
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
