// heft sweep: lambda x gamma x seed, as a study that is written from flags.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "cli/recipe_flags.h"
#include "cli/settings.h"
#include "cli/study_file.h"
#include "cli/study_run.h"
#include "core/check.h"
#include "train/read_number.h"

namespace heft::cli {
namespace {

struct Flags {
  train::Recipe recipe;
  std::string config, out = "runs/sweep";
  std::vector<double> lambdas, gammas;
  int seeds = 3;
  StudyFlags how;
};

constexpr const char* kHelp = R"(Examples:
  heft sweep --lambda 1,3,5 --imbalance exp:0.01 --epochs 20
      three lambdas with three seeds each, and a table of means and deviations on the test set
  heft sweep --lambda 1,3,5 --gamma 0.5,0.9 --seeds 5 --config tail.toml --jobs 2 --threads 1
      every pair of them, on top of the settings in a file
  heft sweep --lambda 1,3,5 --val-split 0.2
      the lambda is chosen on a fifth of the training set, that one runs with every seed: an honest number for the test set

Each combination is a method of a study; --out has it as study.toml, which heft study takes too, beside results.jsonl, table.md,
table.csv and study.json. Run again, it goes on where it stopped, and runs what is new. Settings may come from --config and the
environment as in heft train. The seeds are --seed and those after it. The optimizer is absgd unless --optimizer says abadam.)";

bool is_default(const train::RecipeField& field) {
  for (const train::RecipeField& other : train::fields_of({}))
    if (other.name == field.name) return train::str(other.value) == train::str(field.value);
  return false;
}

// What all runs share. Seeds are the study's, what is held out is a matter of choosing.
train::RecipeFields base_of(const train::Recipe& recipe) {
  train::RecipeFields base;
  for (const train::RecipeField& field : train::fields_of(recipe)) {
    const bool own_place = field.name == "seed" || field.name == "data.validation" ||
                           (field.name == "data.seed" && recipe.data.seed == recipe.seed);
    if (!own_place && (!is_default(field) || field.name == "data.seed")) base.push_back(field);
  }
  return base;
}

// Numbers with commas between them. CLI11 would leave out empty ones, and take an empty text for 0.
std::vector<double> read_list(const std::string& flag, const std::vector<std::string>& texts) {
  const auto read = [](std::string_view text, double& value) {
    return !text.empty() && CLI::detail::lexical_cast(std::string(text), value);
  };
  std::vector<double> values;
  for (const std::string& text : texts)
    check(train::read_numbers(text, values, read), "sweep", "expected numbers with commas between them for {}; got '{}'", flag,
          text);
  return values;
}

std::string text_of(double value) { return train::str(train::FieldValue(value)); }

std::string list_of(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(text_of(value));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

// Every combination is a method; an empty list stands for what the base says.
std::string methods(const Flags& flags) {
  std::string text;
  const auto add = [&text](const std::string& name, const std::string& fields) {
    text += fmt::format("[[method]]\nname = \"{}\"\n{}", name, fields);
  };
  std::vector<std::string> lambdas, gammas;
  for (const double lambda : flags.lambdas) lambdas.push_back(text_of(lambda));
  for (const double gamma : flags.gammas) gammas.push_back(text_of(gamma));
  if (lambdas.empty())
    for (const std::string& gamma : gammas) add("gamma " + gamma, "gamma = " + gamma + "\n");
  for (const std::string& lambda : lambdas) {
    if (gammas.empty()) add("lambda " + lambda, "lambda = " + lambda + "\n");
    for (const std::string& gamma : gammas)
      add("lambda " + lambda + ", gamma " + gamma, "lambda = " + lambda + "\ngamma = " + gamma + "\n");
  }
  return text;
}

std::string study_text(const Flags& flags) {
  const train::Recipe& recipe = flags.recipe;
  std::vector<std::uint64_t> seeds;
  for (int i = 0; i < flags.seeds; ++i) seeds.push_back(recipe.seed + static_cast<std::uint64_t>(i));
  std::string text =
      fmt::format("# Written by heft sweep; heft study runs it too.\nname = \"sweep\"\nseeds = [{}]\n", fmt::join(seeds, ", "));
  if (recipe.data.validation > 0) text += fmt::format("[choosing]\nvalidation = {}\n", recipe.data.validation);
  text += "[base]\n" + train::to_toml(base_of(recipe));
  const std::string name = recipe.data.imbalance == "none" ? recipe.data.data : recipe.data.data + " " + recipe.data.imbalance;
  text += "[[dataset]]\n" + train::to_toml({{"name", name}});
  if (recipe.data.validation <= 0) return text + methods(flags);
  text += fmt::format("[[method]]\nname = \"{}\"\n[method.choose]\n", recipe.optimizer);
  if (!flags.lambdas.empty()) text += "lambda = " + list_of(flags.lambdas) + "\n";
  if (!flags.gammas.empty()) text += "gamma = " + list_of(flags.gammas) + "\n";
  return text;
}

int run(Flags& flags, CLI::App& command) {
  take_settings(command, flags.config, flags.recipe, false);
  check(!flags.lambdas.empty() || !flags.gammas.empty(), "sweep",
        "expected values for --lambda, for --gamma or both; got none");
  if (command.get_option("--optimizer")->count() == 0 && !train::has_lambda(flags.recipe)) flags.recipe.optimizer = "absgd";
  if (!flags.lambdas.empty()) flags.recipe.lambda.reset();
  if (!flags.gammas.empty()) flags.recipe.gamma.reset();
  const std::string path = (std::filesystem::path(flags.out) / "study.toml").string();
  return run_study(parse_study(study_text(flags), path), flags.out, flags.how);
}

}  // namespace

void add_sweep(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("sweep", "Train with every combination of lambdas, gammas and seeds; compare them");
  const auto flags = std::make_shared<Flags>();
  command->add_option("--out", flags->out, "Folder for the results")->capture_default_str();
  command->add_option("--config", flags->config, "Settings that all runs share, as of heft train --config");
  add_machine_flags(*command, flags->recipe);
  add_recipe_flags(*command, flags->recipe);
  // One value each there, and the threads of one run.
  for (const char* name : {"--lambda", "--gamma", "--threads"}) command->remove_option(command->get_option(name));
  const auto list = [&](const std::string& flag, std::vector<double>& values, const std::string& text) {
    command
        ->add_option_function<std::vector<std::string>>(
            flag, [flag, &values, flags](const std::vector<std::string>& texts) { values = read_list(flag, texts); }, text)
        ->type_name("FLOAT,...")
        ->group("Sweep");
  };
  list("--lambda", flags->lambdas, "Values to try, as in 1,3,5; inf is the mean");
  list("--gamma", flags->gammas, "Values to try, as in 0.5,0.9");
  command->add_option("--seeds", flags->seeds, "How many seeds each combination runs with")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->group("Sweep");
  add_study_flags(*command, flags->how);
  command->footer(kHelp);
  command->callback([flags, command, &exit_code] { exit_code = run(*flags, *command); });
}

}  // namespace heft::cli
