// heft train: one run, described by flags, with its numbers and its weights in a folder.
#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/recipe_flags.h"
#include "cli/run.h"
#include "core/check.h"
#include "train/atomic_file.h"
#include "train/metrics_log.h"
#include "train/model_file.h"
#include "train/recorder.h"
#include "train/run_state.h"
#include "train/safetensors.h"

namespace heft::cli {
namespace {

struct Flags {
  train::Recipe recipe;
  std::string out = "runs/latest";
  bool resume = false;
  bool no_record = false;
};

constexpr const char* kExamples = R"(Examples:
  heft train --epochs 10
      LeNet-5 by SGD on all of Fashion-MNIST
  heft train --imbalance exp:0.01 --class-order reversed --optimizer absgd --lambda 5 --out runs/absgd
      the same network by ABSGD on a long tail
  heft train --data idx --data-dir ~/digits --model resnet20 --lr-schedule cosine --epochs 30 --val-split 0.1
      a ResNet on your own images

Writes metrics.jsonl (an object per epoch), config.json, model.safetensors and state.safetensors (for --resume) to --out, and
what the steps and the samples did: steps.jsonl, snapshots.jsonl, samples.json and, for TensorBoard, tensorboard/.)";

// A run is continued by the recipe that began it; only the number of epochs may be another.
void check_same_recipe(const std::string& path, train::Recipe now, const std::map<std::string, std::string>& metadata) {
  const auto before = metadata.find("recipe");
  now.epochs = 1;
  check<ValueError>(before != metadata.end() && before->second == train::to_json(now), "train",
                    "expected --resume with the flags that began the run in {}, --epochs aside; they differ", path);
}

std::map<std::string, std::string> run_metadata(train::Recipe recipe) {
  recipe.epochs = 1;
  return {{"recipe", train::to_json(recipe)}};
}

void print_results(const train::Setup& setup, const train::EpochReport& last, const std::string& out) {
  const train::Evaluation& test = *last.test;
  const std::vector<std::string> names = class_names(*setup.data.train);
  std::cout << fmt::format("test accuracy      {:>5} %\nbalanced accuracy  {:>5} %\nworst class        {:>5} %\n",
                           percent(test.accuracy), percent(test.balanced_accuracy), percent(test.worst_class_accuracy));
  if (last.validation)
    std::cout << fmt::format("validation         {:>5} % accuracy, {} % balanced\n", percent(last.validation->accuracy),
                             percent(last.validation->balanced_accuracy));
  std::cout << fmt::format("\n{:<16}{:>16}{:>12}\n", "class", "training images", "accuracy");
  for (std::size_t c = 0; c < names.size(); ++c)
    std::cout << fmt::format("{:<16}{:>16}{:>10} %\n", names[c], setup.data.class_counts[c],
                             percent(test.per_class_accuracy[c]));
  std::cout << "\nwritten to " << out << ": metrics.jsonl config.json model.safetensors state.safetensors\n";
}

// What a flag leaves open and the number of epochs decides stays as the run began.
train::Recipe as_begun(train::Recipe recipe, const std::string& state_file) {
  const auto metadata = train::read_safetensors(state_file).metadata;
  const auto text = metadata.find("recipe");
  if (text == metadata.end()) return recipe;
  const nlohmann::json before = nlohmann::json::parse(text->second, nullptr, false);
  const auto take = [&](const char* key, std::optional<int>& field) {
    if (!field && before.is_object() && before.contains(key) && before[key].is_number_integer()) field = before[key].get<int>();
  };
  if (train::has_lambda(recipe)) take("lambda_from", recipe.lambda_from);
  if (recipe.class_weights == "deferred") take("class_weights_from", recipe.class_weights_from);
  return recipe;
}

int run(const Flags& flags) {
  const auto file = [&flags](const char* name) { return (std::filesystem::path(flags.out) / name).string(); };
  train::Setup setup = train::prepare(flags.resume ? as_begun(flags.recipe, file("state.safetensors")) : flags.recipe);
  std::filesystem::create_directories(flags.out);
  if (flags.resume) {
    const train::LoadedRun before = train::load_run(file("state.safetensors"), *setup.net, *setup.optimizer);
    check_same_recipe(flags.out, setup.recipe, before.metadata);
    check<ValueError>(before.epochs < setup.recipe.epochs, "train",
                      "expected --epochs beyond the {} that the run in {} has; got {}", before.epochs, flags.out,
                      setup.recipe.epochs);
    if (setup.memory) setup.memory->load_state(before.loss_state);
    setup.fit.first_epoch = before.epochs + 1;
  }
  train::write_atomically(file("config.json"), train::to_json(setup.recipe) + '\n');
  train::MetricsLog metrics(file("metrics.jsonl"), setup.fit.first_epoch - 1);
  std::cerr << fmt::format("{} ({} parameters) by {}, {} training images\n", setup.recipe.model, setup.net->parameter_count(),
                           setup.recipe.optimizer, setup.data.train->size());

  std::optional<train::Recorder> recorder;
  if (flags.no_record) {
    if (!flags.resume) train::remove_records(flags.out);
  } else {
    recorder.emplace(flags.out, *setup.loader,
                     train::RecorderOptions{.first_epoch = setup.fit.first_epoch,
                                            .every = train::default_every(setup.loader->size(), setup.recipe.epochs),
                                            .accumulate = setup.fit.accumulate});
    setup.fit.on_batch = [&recorder](const train::BatchReport& report) { recorder->add(report); };
  }
  RunProgress progress((setup.recipe.epochs - setup.fit.first_epoch + 1) * setup.loader->size());
  const train::FitResult result = progress.fit(setup, setup.recipe.optimizer, true, [&](const train::EpochReport& report) {
    metrics.add(report);
    if (recorder) recorder->end_epoch(report);
    train::save_run(file("state.safetensors"), *setup.net, *setup.optimizer, report.epoch, run_metadata(setup.recipe),
                    setup.memory ? setup.memory->state() : std::map<std::string, Tensor>{});
  });
  if (result.stopped) {
    std::cerr << "heft: stopped; " << flags.out << " holds the epochs that were finished, --resume continues after them\n";
    return kInterrupted;
  }
  train::save_model_file(file("model.safetensors"), *setup.net, setup.info);
  print_results(setup, result.epochs.back(), flags.out);
  return kSuccess;
}

}  // namespace

void add_train(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("train", "Train a network");
  const auto flags = std::make_shared<Flags>();
  command->add_option("--out", flags->out, "Folder for the results")->capture_default_str();
  command->add_flag("--resume", flags->resume, "Continue the run in --out after its last finished epoch");
  command->add_flag("--no-record", flags->no_record, "Without steps.jsonl, snapshots.jsonl, samples.json and tensorboard/");
  add_machine_flags(*command, flags->recipe);
  add_recipe_flags(*command, flags->recipe);
  command->footer(kExamples);
  command->callback([flags, &exit_code] { exit_code = run(*flags); });
}

}  // namespace heft::cli
