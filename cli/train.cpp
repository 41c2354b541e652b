// heft train: one run, described by flags, with its numbers and its weights in a folder.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/recipe_flags.h"
#include "cli/resume.h"
#include "cli/run.h"
#include "cli/run_files.h"
#include "cli/settings.h"
#include "cli/skipped.h"
#include "cli/train_results.h"
#include "core/check.h"
#include "train/checkpoints.h"
#include "train/image_sources.h"
#include "train/reweight.h"

namespace heft::cli {
namespace {

struct Flags {
  train::Recipe recipe;
  std::string config;  // a file; empty: none
  std::string out = "runs/latest";
  std::optional<std::string> resume = {};  // empty: the run in `out`
  RunFilesOptions files = {};
  bool no_record = false;
  bool overwrite = false;
  bool find_lr = false;
  bool json = false;
};

constexpr const char* kExamples = R"(Examples:
  heft train --epochs 10
      LeNet-5 by SGD on all of Fashion-MNIST
  heft train --imbalance exp:0.01 --class-order reversed --optimizer absgd --lambda 5 --out runs/absgd
      the same network by ABSGD on a long tail
  heft train --data my_images --model resnet18 --augment resized-crop-flip --epochs 30
      a ResNet on your own images, my_images/{train,val}/CLASS/*.jpg
  heft train --data idx --data-dir ~/digits --model resnet20 --lr-schedule cosine --epochs 30 --val-split 0.1
      or on a data set in the format of MNIST
  heft train --config absgd.toml --seed 1
      settings from a file, as in  epochs = 20  or  data.imbalance = "exp:0.01"; flags come last
  heft train --resume runs/absgd
      on from its last checkpoint, as if it had never stopped: bit for bit with the same threads on the same CPU

The settings in a file are TOML, by the names that config.toml of every run has, which is such a file, and out, threads,
checkpoint_every, keep, early_stopping. Each may also be an environment variable, HEFT_TRAIN_EPOCHS or
HEFT_TRAIN_DATA_IMBALANCE: it outdoes the file, and flags outdo both. --resume takes neither: a run has its settings.

Writes to --out: metrics.jsonl (an object per epoch); config.json and config.toml, every setting; manifest.json (versions,
machine, data, command); model.safetensors (at the end) and best.safetensors (of the epoch of the best balanced accuracy, on the
validation part if there is one); state.safetensors and checkpoints/, for --resume; and what the steps and the samples did:
steps.jsonl, snapshots.jsonl, samples.json and, for TensorBoard, tensorboard/. heft inspect run shows what is there.
Ctrl-C and TERM finish the step, save and leave; a second one leaves at once.)";

// A run is gone on with, and looked at, from other folders too.
void make_absolute(train::Recipe& recipe) {
  const auto absolute = [](const std::string& path) {
    std::error_code none;
    return std::filesystem::exists(path, none) ? std::filesystem::absolute(path).lexically_normal().string() : path;
  };
  train::DataRecipe& data = recipe.data;
  if (train::is_image_source(data)) data.data = absolute(data.data);
  data.dir = absolute(data.dir);
  if (const std::string file = "file:"; data.noise.starts_with(file))
    data.noise = file + absolute(data.noise.substr(file.size()));
  recipe.init = absolute(recipe.init);
}

// What the command line asks for and the run will not show.
void say_what_has_no_effect(const train::Recipe& recipe) {
  const auto say = [](const std::string& what) { notes() << "heft: " << what << '\n'; };
  if (recipe.device.is_cpu() && recipe.precision == "bf16") say("the precision bf16 is for a GPU; a CPU computes in f32");
  if (const train::DataRecipe& data = recipe.data, unset; !train::is_image_source(data)) {
    const auto of_images = [&](const char* flag, const auto& value, const auto& by_default) {
      if (value != by_default) say(fmt::format("{} {} is for your own images; {} is as it is", flag, value, data.data));
    };
    of_images("--image-size", data.image_size, unset.image_size);
    of_images("--channels", data.channels, unset.channels);
    of_images("--broken", data.broken, unset.broken);
    of_images("--cache", data.cache, unset.cache);
    of_images("--test-split", data.test_share, unset.test_share);
  }
  if (recipe.data.imbalance == "none" && recipe.data.class_order != "label")
    say(fmt::format("--class-order {} is the order of --imbalance, which is none", recipe.data.class_order));
  if (recipe.data.meta_per_class > 0 && !train::learns_from_clean_images(train::read_reweight(recipe.reweight)))
    say(fmt::format("{} images of each class are held out as clean ones, which reweight {} does not use",
                    recipe.data.meta_per_class, recipe.reweight));
  if (recipe.lambda_from.value_or(1) > recipe.epochs)
    say(fmt::format("lambda begins in epoch {} of {}: until then {} weighs all samples alike", *recipe.lambda_from,
                    recipe.epochs, recipe.optimizer));
  if (recipe.warm_up > recipe.epochs)
    say(fmt::format("the warm-up takes {} epochs, of which the run has {}: lr stays below {}", recipe.warm_up, recipe.epochs,
                    recipe.lr.value()));
}

// What --resume is given to go on with the run in `folder`; empty: nothing is saved.
std::string saved_in(const std::string& folder) {
  return std::filesystem::exists(train::newest_state(folder)) ? folder : train::last_kept(folder);
}

void check_holds_no_run(const std::string& folder) {
  if (!holds_a_run(folder)) return;
  const bool has_state = !saved_in(folder).empty();
  fail("train", "expected a folder without a run (--out); {} holds one{}: {}--overwrite replaces it", folder,
       has_state ? "" : " that has saved no state", has_state ? "--resume " + folder + " goes on with it, " : "");
}

void say_what_is_kept(const std::string& folder) {
  const std::string from = saved_in(folder);
  if (from.empty())
    notes() << fmt::format("heft: {} has no checkpoint yet; when there is room, start again with --overwrite\n", folder);
  else
    notes() << fmt::format("heft: the last checkpoint is whole; when there is room, heft train --resume {} goes on from it\n",
                           from);
}

int run_in_folder(Flags& flags, train::Setup& setup, const std::optional<ResumedRun>& resumed) {
  flags.files.record = !flags.no_record;
  RunFiles files(flags.out, setup, resumed, flags.files);
  notes() << fmt::format("{} ({} parameters) by {}, {} training images\n", setup.recipe.model, setup.net->parameter_count(),
                         setup.recipe.optimizer, setup.data.train->size());

  const std::int64_t done = setup.fit.part ? setup.fit.part->batches : 0;
  if (resumed)
    notes() << fmt::format("going on in epoch {} of {}, after {} of its {} batches\n", setup.fit.first_epoch,
                           setup.recipe.epochs, done, setup.loader->size());
  const std::int64_t left = (setup.recipe.epochs - setup.fit.first_epoch + 1) * setup.loader->size() - done;
  RunProgress progress(std::max<std::int64_t>(1, left));  // none: after the last step, before its evaluation
  const train::FitResult result =
      progress.fit(setup, setup.recipe.optimizer, true, [&](const train::EpochReport& report) { files.end_epoch(report); });
  if (result.stopped) {
    notes() << fmt::format("heft: stopped; heft train --resume {} goes on from here\n", flags.out);
    return interrupted_exit_code();
  }
  print_results(setup, result.epochs.back(), files.best(), flags.out, flags.json);
  return kSuccess;
}

// The options of `command` write to `flags`.
int run(Flags& flags, CLI::App& command) {
  std::optional<ResumedRun> resumed;
  check(!flags.find_lr || !flags.resume, "train", "expected --find-lr or --resume; got both");
  check(flags.config.empty() || !flags.resume, "train",
        "expected --config or --resume, which goes on with the settings of its run; got both");
  const bool named = command.get_option("--out")->count() > 0;
  if (const auto& every = flags.files.habits.checkpoint_every) train::read_checkpoint_every(*every);  // refused before all else
  if (flags.resume) {
    resumed = find_run(flags.resume->empty() ? flags.out : *flags.resume);
    std::error_code none;
    check(flags.resume->empty() || !named || std::filesystem::equivalent(flags.out, resumed->folder, none), "train",
          "expected --resume with a run, or with the run in --out; got {} and --out {}", *flags.resume, flags.out);
    take_recipe(*resumed, command, flags.recipe);
    flags.out = resumed->folder;
  } else {
    take_settings(command, flags.config, flags.recipe);
    make_absolute(flags.recipe);
    check_out_of_data("train", flags.out, flags.recipe.data);
    // runs/latest is the latest by its name.
    if (named && !flags.find_lr && !flags.overwrite) check_holds_no_run(flags.out);
  }
  train::Setup setup = train::prepare(flags.recipe);
  say_what_has_no_effect(setup.recipe);
  print_skipped(setup.data.skipped);
  if (flags.find_lr) return run_find_lr(setup, flags.out, flags.json);
  try {
    return run_in_folder(flags, setup, resumed);
  } catch (const WriteError&) {
    say_what_is_kept(flags.out);
    throw;
  }
}

}  // namespace

void add_train(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("train", "Train a network");
  const auto flags = std::make_shared<Flags>();
  command->add_option("--out", flags->out, "Folder for the results")->capture_default_str();
  command->add_flag("--overwrite", flags->overwrite, "Replace the run that is in --out");
  command->add_option("--config", flags->config, "Settings from that TOML file; the environment and flags outdo it");
  command
      ->add_option_function<std::string>(
          "--resume", [flags](const std::string& path) { flags->resume = path; },
          "Go on with the run in that folder, or --out, or from that checkpoint; no other flag is needed, --epochs may be more")
      ->expected(0, 1)
      ->type_name("[RUN]");
  RunHabits& habits = flags->files.habits;
  command->add_option("--checkpoint-every", habits.checkpoint_every,
                      "Besides after each epoch, for --resume: so many steps (100) or minutes (5min), or epoch for no others "
                      "[5min]");
  command->add_option("--keep", habits.keep, "Epochs of which the checkpoint is kept, in checkpoints/ [1]")
      ->check(CLI::Range(0, 1000000));
  command
      ->add_option("--early-stopping", habits.early_stopping,
                   "End after so many epochs without a better balanced accuracy on the validation part (--val-split); 0: never")
      ->check(CLI::Range(0, 1000000));
  command->add_flag(
      "--find-lr", flags->find_lr,
      "Instead of training: a range test of the learning rate, from 1e-6 to 10, written to find_lr.jsonl in --out");
  command->add_flag(
      "--no-record", flags->no_record,
      "Without steps.jsonl, snapshots.jsonl, samples.json and tensorboard/; --resume goes on so where those are damaged");
  add_json_flag(*command, flags->json, "One JSON object on stdout in the end: the last epoch and the best");
  add_machine_flags(*command, flags->recipe);
  add_recipe_flags(*command, flags->recipe);
  command->footer(kExamples);
  command->callback([flags, command, &exit_code] { exit_code = run(*flags, *command); });
}

}  // namespace heft::cli
