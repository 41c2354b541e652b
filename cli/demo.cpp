// heft demo: the main job. The same network, from the same weights, on the same long-tailed images, by SGD, by ABSGD, and by
// both with deferred class weights; side by side.
#include <fmt/format.h>

#include <array>
#include <iostream>
#include <limits>
#include <memory>
#include <vector>

#include "cli/commands.h"
#include "cli/recipe_flags.h"
#include "cli/run.h"
#include "cli/seed_report.h"

namespace heft::cli {
namespace {

struct Method {
  const char* name;
  const char* optimizer;
  const char* class_weights;
};
constexpr std::array<Method, 4> kMethods{{{"SGD", "sgd", "none"},
                                          {"ABSGD", "absgd", "none"},
                                          {"SGD + weights", "sgd", "deferred"},
                                          {"ABSGD + weights", "absgd", "deferred"}}};

struct Flags {
  train::Recipe recipe{.data = {.imbalance = "exp:0.01", .class_order = "reversed"},
                       .class_weights_in = "exponent",
                       .lr = 0.02,
                       .clip_norm = std::numeric_limits<double>::infinity(),
                       .lambda = 3,
                       .lambda_from = 1,
                       .min_share = 0,
                       .lr_schedule = "cosine",
                       .epochs = 20};
  int seeds = 1;
};

struct Outcome {
  train::EpochReport last;
  double seconds = 0;
  double images_per_second = 0;
};

// What a flag says about ABSGD or class weights goes to the runs that have them.
train::Recipe recipe_of(const Method& method, train::Recipe recipe) {
  recipe.optimizer = method.optimizer;
  recipe.class_weights = method.class_weights;
  if (recipe.optimizer == "sgd") {
    recipe.lambda = recipe.gamma = recipe.alpha = recipe.min_share = std::nullopt;
    recipe.lambda_from = std::nullopt;
    recipe.lambda_auto.clear();
    recipe.lambda_schedule = "step";
  }
  if (recipe.class_weights == "none") recipe.class_weights_from = std::nullopt;
  return recipe;
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
  std::cout << fmt::format("{:<18}{:>8}", name, count);
  for (const std::string& cell : cells) std::cout << fmt::format("{:>17}", cell);
  std::cout << '\n';
}

void print_table(const train::DataSets& data, const std::vector<Outcome>& outcomes) {
  const auto row = [&](const std::string& name, const std::string& count, auto&& cell) {
    std::vector<std::string> cells;
    for (const Outcome& outcome : outcomes) cells.push_back(cell(outcome));
    print_row(name, count, cells);
  };
  std::vector<std::string> names;
  for (const Method& method : kMethods) names.emplace_back(method.name);
  print_row("test, in %", "", names);
  row("accuracy", "", [](const Outcome& o) { return percent(o.last.test->accuracy); });
  row("balanced accuracy", "", [](const Outcome& o) { return percent(o.last.test->balanced_accuracy); });
  row("worst class", "", [](const Outcome& o) { return percent(o.last.test->worst_class_accuracy); });
  std::cout << '\n';
  print_row("class", "images", std::vector<std::string>(kMethods.size()));
  const std::vector<std::string> classes = class_names(*data.train);
  for (std::size_t c = 0; c < classes.size(); ++c)
    row(classes[c], std::to_string(data.class_counts[c]),
        [c](const Outcome& o) { return percent(o.last.test->per_class_accuracy[c]); });
  std::cout << '\n';
  row("seconds", "", [](const Outcome& o) { return fmt::format("{:.1f}", o.seconds); });
  row("images/s", "", [](const Outcome& o) { return fmt::format("{:.0f}", o.images_per_second); });
}

int run(const Flags& flags) {
  const std::int64_t steps_each = [&] {
    const train::Setup setup = train::prepare(recipe_of(kMethods[0], flags.recipe));
    std::cerr << fmt::format("{} on {}, imbalance {}, class order {}: {} training images, {} test images, {} epochs\n",
                             setup.recipe.model, setup.recipe.data.data, setup.recipe.data.imbalance,
                             setup.recipe.data.class_order, setup.data.train->size(), setup.data.test->size(),
                             setup.recipe.epochs);
    return setup.recipe.epochs * setup.loader->size();
  }();
  RunProgress progress(steps_each * static_cast<std::int64_t>(kMethods.size()) * flags.seeds);
  SeedReport seeds({kMethods[0].name, kMethods[1].name, kMethods[2].name, kMethods[3].name});
  for (int s = 0; s < flags.seeds; ++s) {
    train::Recipe recipe = flags.recipe;
    recipe.seed = recipe.data.seed = flags.recipe.seed + static_cast<std::uint64_t>(s);
    const train::DataSets data = train::load_datasets(recipe.data);
    std::vector<Outcome> outcomes;
    std::vector<train::Evaluation> evaluations;
    for (const Method& method : kMethods) {
      train::Setup setup = train::prepare(recipe_of(method, recipe), data);
      const std::string label = flags.seeds > 1 ? fmt::format("seed {}, {}", recipe.seed, method.name) : method.name;
      const train::FitResult result = progress.fit(setup, label, false);
      if (result.stopped) return interrupted_exit_code();
      outcomes.push_back(outcome_of(result));
      evaluations.push_back(*outcomes.back().last.test);
    }
    if (flags.seeds > 1) std::cout << "seed " << recipe.seed << "\n\n";
    print_table(data, outcomes);
    std::cout << std::endl;
    seeds.add(evaluations);
  }
  if (flags.seeds > 1) std::cout << seeds.str({{1, 0}, {3, 2}});
  return kSuccess;
}

}  // namespace

void add_demo(CLI::App& app, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("demo", "SGD against ABSGD on long-tailed Fashion-MNIST, with and without class weights");
  const auto flags = std::make_shared<Flags>();
  command->add_option("--seeds", flags->seeds, "Repeat with this many seeds, and report means, deviations, paired differences")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add_machine_flags(*command, flags->recipe);
  add_recipe_flags(*command, flags->recipe);
  for (const char* fixed : {"--optimizer", "--class-weights"}) command->remove_option(command->get_option(fixed));
  command->footer(
      "Needs the Debian package dataset-fashion-mnist, or --data-dir.\n"
      "Examples:\n  heft demo\n  heft demo --seeds 5 --lambda 2 --lambda-from-epoch 11");
  command->callback([flags, &exit_code] { exit_code = run(*flags); });
}

}  // namespace heft::cli
