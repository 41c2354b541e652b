// heft eval: what a trained model gets right on a data set.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/config_file.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/recipe_flags.h"
#include "cli/run.h"
#include "cli/skipped.h"
#include "core/check.h"
#include "train/evaluate.h"
#include "train/recipe.h"

namespace heft::cli {
namespace {

struct Flags {
  std::string model;
  train::Recipe recipe;  // its data and device
  std::string split = "test";
  bool json = false;
};

constexpr const char* kExamples = R"(Examples:
  heft eval runs/latest
      on the test set of the run's data
  heft eval runs/photos --data other_images --split train
  heft eval model.safetensors --data cifar10 --data-dir ~/cifar-10-batches-bin --json

The images of a folder or a list are brought to the size and the channels that the model takes; all are normalised as those that
it was trained on. A model file in the folder of a run has the run's data, too.)";

void check_fits(const train::ModelInfo& info, const data::Dataset& dataset, const std::string& path) {
  const models::MakeOptions& o = info.options;
  const Shape expected{o.channels, o.image_size, o.image_size}, got = dataset.get(0).image.shape();
  check<DataError>(got == expected, "eval", "expected images of shape {}, which {} takes; the data set has {}", expected, path,
                   got);
  check<DataError>(dataset.classes() == o.classes, "eval", "expected {} classes, which {} tells apart; the data set has {}",
                   o.classes, path, dataset.classes());
  const std::vector<std::string> names = dataset.class_names();
  check<DataError>(names.empty() || info.class_names.empty() || names == info.class_names, "eval",
                   "expected the classes that {} tells apart, {}; the data set has {} (--data says which it is)", path,
                   fmt::join(info.class_names, ", "), fmt::join(names, ", "));
}

nlohmann::ordered_json as_json(const train::ModelInfo& info, const std::vector<std::string>& names,
                               const train::Evaluation& e) {
  nlohmann::ordered_json classes = nlohmann::ordered_json::array(), confusion = classes;
  for (std::int64_t c = 0; c < info.options.classes; ++c) {
    const std::optional<double> accuracy = e.per_class_accuracy[static_cast<std::size_t>(c)];
    classes.push_back({{"name", names[static_cast<std::size_t>(c)]},
                       {"samples", e.confusion.support(c)},
                       {"accuracy", accuracy ? nlohmann::ordered_json(*accuracy) : nlohmann::ordered_json(nullptr)}});
    nlohmann::ordered_json row = nlohmann::ordered_json::array();
    for (std::int64_t p = 0; p < info.options.classes; ++p) row.push_back(e.confusion.count(c, p));
    confusion.push_back(row);
  }
  return {{"model", info.model},
          {"samples", e.samples},
          {"loss", e.mean_loss},
          {"accuracy", e.accuracy},
          {"balanced_accuracy", e.balanced_accuracy},
          {"worst_class_accuracy", e.worst_class_accuracy},
          {"calibration_error", e.calibration_error},
          {"classes", classes},
          {"confusion", confusion}};
}

void print(const std::vector<std::string>& names, const train::Evaluation& e) {
  results() << fmt::format(
      "samples            {:>7}\naccuracy           {:>5} %\nbalanced accuracy  {:>5} %\nworst class        {:>5} %\n"
      "calibration error  {:>5} %\nmean loss          {:>7.4f}\n\n{:<16}{:>10}{:>12}\n",
      e.samples, percent(e.accuracy), percent(e.balanced_accuracy), percent(e.worst_class_accuracy),
      percent(e.calibration_error), e.mean_loss, "class", "samples", "accuracy");
  for (std::size_t c = 0; c < names.size(); ++c)
    results() << fmt::format("{:<16}{:>10}{:>10} %\n", names[c], e.confusion.support(static_cast<std::int64_t>(c)),
                             percent(e.per_class_accuracy[c]));
}

// A run, which `path` is a file of, knows its data; flags outdo it.
void take_data_of_run(const std::string& path, CLI::App& command, train::Recipe& recipe) {
  const std::string config = (std::filesystem::path(path).parent_path() / "config.toml").string();
  if (command.get_option("--data")->count() > 0 || !std::filesystem::exists(config)) return;
  recipe.data = read_config_of_run(config).data;
  for (CLI::Option* option : command.get_options())
    if (option->count() > 0) option->run_callback();
}

int run(Flags& flags, CLI::App& command) {
  const std::string path = model_path(flags.model);
  const train::ModelFile file = train::load_model_file(path);
  take_data_of_run(path, command, flags.recipe);
  train::DataRecipe& data = flags.recipe.data;
  data.image_size = file.info.options.image_size;
  data.channels = file.info.options.channels;
  const auto [dataset, skipped] =
      train::load_part(data, flags.split == "test" ? train::Part::test : train::Part::train, file.info.class_names);
  print_skipped(skipped);
  check_fits(file.info, *dataset, path);
  const ModulePtr net = with_scaled_logits(file);
  net->to(flags.recipe.device);
  const train::Evaluation e = train::evaluate(*net, dataset, {.normalize = file.info.normalization});
  const std::vector<std::string> names = class_names(file.info);
  if (flags.json) print_json(as_json(file.info, names, e));
  else print(names, e);
  return kSuccess;
}

}  // namespace

void add_eval(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("eval", "Accuracy of a trained model, by class, and its calibration");
  const auto flags = std::make_shared<Flags>();
  command->add_option("model", flags->model, "A model file of heft train, or the folder of a run")->required();
  command->add_option("--data", flags->recipe.data.data, "As in heft train --data [that of the run]");
  command->add_option("--broken", flags->recipe.data.broken, "Files that are no images: error, or skip [as in the run]");
  command->add_option("--test-split", flags->recipe.data.test_share,
                      "Share held out as the test set where there is neither test/ nor val/ [as in the run]");
  command->add_option("--split", flags->split, "test, or train: before imbalance, noise and what is held out")
      ->check(CLI::IsMember({"test", "train"}))
      ->capture_default_str();
  add_json_flag(*command, flags->json, "One JSON object on stdout, with the confusion matrix");
  add_machine_flags(*command, flags->recipe);
  command->footer(kExamples);
  command->callback([flags, command, &exit_code] { exit_code = run(*flags, *command); });
}

}  // namespace heft::cli
