// heft demo: the main job. The same network, from the same weights, on the same long-tailed images, by SGD and by ABSGD, with
// cross entropy and with LDAM's margins; side by side.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/recipe_flags.h"
#include "cli/run.h"
#include "train/metrics_log.h"

namespace heft::cli {
namespace {

struct Outcome {
  train::EpochReport last;
  double seconds = 0;
  double images_per_second = 0;
};

struct Method {
  const char* name;
  train::Recipe recipe;
};

// With the settings that examples/studies/fashion_tail_search.toml chose on held-out parts of the training set.
std::vector<Method> methods(const train::Recipe& common) {
  train::Recipe sgd = common, absgd = common, ldam = common;
  sgd.lr = 0.05;
  absgd.optimizer = "absgd";
  absgd.lr = 0.1;
  absgd.lambda = 0.3;
  absgd.min_share = 0;
  ldam.loss = "ldam";
  ldam.lr = 0.05;
  ldam.clip_norm = 1;
  train::Recipe both = ldam;
  both.optimizer = "absgd";
  both.lambda = 1;
  both.min_share = 0;
  return {{"SGD", sgd}, {"ABSGD", absgd}, {"SGD, LDAM", ldam}, {"ABSGD, LDAM", both}};
}

Outcome outcome_of(const train::FitResult& result) {
  Outcome outcome{.last = result.epochs.back()};
  double images = 0;
  for (const train::EpochReport& epoch : result.epochs) {
    outcome.seconds += epoch.seconds;
    images += static_cast<double>(epoch.images);
  }
  outcome.images_per_second = images / outcome.seconds;
  return outcome;
}

void print_row(const std::string& name, const std::string& count, const std::vector<std::string>& cells) {
  results() << fmt::format("{:<18}{:>8}", name, count);
  for (const std::string& cell : cells) results() << fmt::format("{:>17}", cell);
  results() << '\n';
}

void print_table(const train::DataSets& data, const std::vector<Method>& compared, const std::vector<Outcome>& outcomes) {
  const auto row = [&](const std::string& name, const std::string& count, auto&& cell) {
    std::vector<std::string> cells;
    for (const Outcome& outcome : outcomes) cells.push_back(cell(outcome));
    print_row(name, count, cells);
  };
  std::vector<std::string> names;
  for (const Method& method : compared) names.emplace_back(method.name);
  print_row("test, in %", "", names);
  row("accuracy", "", [](const Outcome& o) { return percent(o.last.test->accuracy); });
  row("balanced accuracy", "", [](const Outcome& o) { return percent(o.last.test->balanced_accuracy); });
  row("worst class", "", [](const Outcome& o) { return percent(o.last.test->worst_class_accuracy); });
  results() << '\n';
  print_row("class", "images", std::vector<std::string>(compared.size()));
  const std::vector<std::string> classes = class_names(*data.train);
  for (std::size_t c = 0; c < classes.size(); ++c)
    row(classes[c], std::to_string(data.class_counts[c]),
        [c](const Outcome& o) { return percent(o.last.test->per_class_accuracy[c]); });
  results() << '\n';
  row("seconds", "", [](const Outcome& o) { return fmt::format("{:.1f}", o.seconds); });
  row("images/s", "", [](const Outcome& o) { return fmt::format("{:.0f}", o.images_per_second); });
}

// Of each method the last line of what would be its metrics.jsonl.
void print_as_json(const std::vector<Method>& compared, const std::vector<Outcome>& outcomes) {
  nlohmann::ordered_json methods = nlohmann::ordered_json::array();
  for (std::size_t m = 0; m < compared.size(); ++m) {
    methods.push_back({{"name", compared[m].name}});
    methods.back().update(nlohmann::ordered_json::parse(train::metrics_line(outcomes[m].last)));
    methods.back()["images_per_second"] = outcomes[m].images_per_second;
    methods.back()["seconds"] = outcomes[m].seconds;
  }
  print_json({{"methods", methods}});
}

int run(const train::Recipe& recipe, bool json) {
  const train::DataSets data = train::load_datasets(recipe.data);
  const std::vector<Method> compared = methods(recipe);
  std::vector<Outcome> outcomes;
  std::unique_ptr<RunProgress> progress;
  for (const Method& method : compared) {
    train::Setup setup = train::prepare(method.recipe, data);
    if (!progress) {
      notes() << fmt::format("{} on {}, imbalance {}, class order {}: {} training images, {} test images, {} epochs\n",
                             setup.recipe.model, setup.recipe.data.data, setup.recipe.data.imbalance,
                             setup.recipe.data.class_order, setup.data.train->size(), setup.data.test->size(),
                             setup.recipe.epochs);
      progress = std::make_unique<RunProgress>(setup.recipe.epochs * setup.loader->size() *
                                               static_cast<std::int64_t>(compared.size()));
    }
    const train::FitResult result = progress->fit(setup, method.name, false);
    if (result.stopped) return interrupted_exit_code();
    outcomes.push_back(outcome_of(result));
  }
  if (json) {
    print_as_json(compared, outcomes);
    return kSuccess;
  }
  print_table(data, compared, outcomes);
  results() << "\nOne seed; the README has five, and more methods. heft study --help says how to compare over seeds.\n";
  return kSuccess;
}

}  // namespace

void add_demo(CLI::App& app, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("demo", "SGD against ABSGD on long-tailed Fashion-MNIST, with cross entropy and with LDAM's margins");
  const auto recipe = std::make_shared<train::Recipe>(
      train::Recipe{.data = {.imbalance = "exp:0.01", .class_order = "reversed"}, .epochs = 20});
  const auto json = std::make_shared<bool>(false);
  add_json_flag(*command, *json);
  add_machine_flags(*command, *recipe);
  command->add_option("--data", recipe->data.data, "As of heft train")->capture_default_str();
  command
      ->add_option("--imbalance", recipe->data.imbalance,
                   "Long tail: exp:RATIO or step:RATIO of the smallest class to the largest")
      ->capture_default_str();
  command->add_option("--class-order", recipe->data.class_order, "Largest class first: label, or reversed")
      ->capture_default_str();
  command->add_option("--model", recipe->model, "As of heft train")->capture_default_str();
  command->add_option("--epochs", recipe->epochs, "Passes over the training set")->capture_default_str();
  command->add_option_function<std::uint64_t>(
      "--seed", [recipe](std::uint64_t seed) { recipe->seed = recipe->data.seed = seed; },
      "Of the long tail, the initial weights and the order of the batches [0]");
  command->footer(
      "Needs the Debian package dataset-fashion-mnist, or --data-dir. Each method has the learning rate and the lambda that a\n"
      "search on held-out training images chose; heft train takes any.\n"
      "Examples:\n  heft demo\n  heft demo --class-order label --seed 1");
  command->callback([recipe, json, &exit_code] { exit_code = run(*recipe, *json); });
}

}  // namespace heft::cli
