#include "cli/settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <variant>

#include "core/check.h"
#include "train/nearest_name.h"

namespace heft::cli {
namespace {

constexpr const char* kOp = "settings";
constexpr std::string_view kPrefix = "HEFT_TRAIN_";
constexpr std::string_view kConstant = "NAME";  // of "loss_options.NAME": any

std::string variable_of(const std::string& setting) {
  std::string name(kPrefix);
  for (const char c : setting) name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

// Empty: there is none.
std::string setting_of(const std::string& variable) {
  for (const std::string& setting : setting_names()) {
    if (variable == variable_of(setting)) return setting;
    if (!setting.ends_with(kConstant)) continue;
    const std::string front = variable_of(setting.substr(0, setting.size() - kConstant.size()));
    if (!variable.starts_with(front)) continue;
    std::string constant = variable.substr(front.size());
    std::transform(constant.begin(), constant.end(), constant.begin(), [](unsigned char c) { return std::tolower(c); });
    return setting.substr(0, setting.size() - kConstant.size()) + constant;
  }
  return "";
}

std::string nearest_variable(const std::string& variable) {
  std::vector<std::string> variables;
  for (const std::string& setting : setting_names()) variables.push_back(variable_of(setting));
  return train::nearest_name(variable, variables);
}

void give(CLI::App& command, const train::RecipeFields& program) {
  for (const train::RecipeField& field : program) {
    std::string flag = "--" + field.name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    CLI::Option* option = command.get_option_no_throw(flag);
    if (option == nullptr || option->count() > 0) continue;
    const std::string* text = std::get_if<std::string>(&field.value);
    option->add_result(text != nullptr ? *text : train::str(field.value));
    try {
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      fail(kOp, "expected what {} takes for {} at {}; got {} ({})", flag, field.name, field.where, train::str(field.value),
           error.what());
    }
  }
}

}  // namespace

Settings settings_of(const char* const* environment) {
  Settings settings;
  const std::vector<std::string>& program = program_settings();
  for (; *environment != nullptr; ++environment) {
    const std::string entry = *environment;
    if (!entry.starts_with(kPrefix)) continue;
    const std::size_t equals = std::min(entry.find('='), entry.size());
    const std::string variable = entry.substr(0, equals), value = entry.substr(std::min(equals + 1, entry.size()));
    const std::string setting = setting_of(variable);
    check(!setting.empty(), kOp, "expected the name of a setting after {} in the environment, perhaps {}; got {}", kPrefix,
          nearest_variable(variable), variable);
    if (std::find(program.begin(), program.end(), setting) != program.end()) {
      settings.program.push_back({setting, value, variable});
      continue;
    }
    const train::RecipeField field = train::field_of_text(setting, value, variable);
    train::Recipe scratch;
    set_field(scratch, field);
    settings.recipe.push_back(field);
  }
  return settings;
}

void take_settings(CLI::App& command, const std::string& config, train::Recipe& recipe, bool program) {
  const Settings file = config.empty() ? Settings() : read_config(config), environment = settings_of(environ);
  recipe = train::Recipe();
  set_fields(file.recipe, recipe);
  set_fields(environment.recipe, recipe);
  for (CLI::Option* option : command.get_options())
    if (option->count() > 0) option->run_callback();
  if (!program) return;
  give(command, environment.program);
  give(command, file.program);
}

}  // namespace heft::cli
