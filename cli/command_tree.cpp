#include "cli/command_tree.h"

#include <sstream>

namespace heft::cli {
namespace {

// "TEXT:{test,train}": CLI11 says there what a value is checked for.
std::vector<std::string> choices_of(const std::string& type) {
  std::vector<std::string> choices;
  const std::size_t begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return choices;
  std::istringstream list(type.substr(begin + 1, end - begin - 1));
  for (std::string choice; std::getline(list, choice, ',');) choices.push_back(choice);
  return choices;
}

// "Network: mlp, lenet5": so the help says which names a recipe knows.
std::vector<std::string> names_in(const std::string& help) {
  const std::size_t colon = help.rfind(": ");
  if (colon == std::string::npos || help.find(", ", colon) == std::string::npos) return {};
  std::vector<std::string> names;
  for (std::size_t begin = colon + 2, end = 0; end != std::string::npos; begin = end + 2) {
    end = help.find(", ", begin);
    names.push_back(help.substr(begin, end - begin));
    if (names.back().find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos) return {};
  }
  return names;
}

FlagInfo flag_of(const CLI::Option& option) {
  FlagInfo flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  flag.argument = flag.names.empty();
  if (flag.argument) flag.names.push_back(option.get_name(true));
  const std::string type = option.get_type_name();
  if (option.get_items_expected_max() > 0) {
    flag.value = type.substr(0, type.find(':'));
    flag.choices = choices_of(type);
    if (flag.choices.empty()) flag.choices = names_in(option.get_description());
    if (flag.value.empty()) flag.value = "VALUE";
  }
  flag.optional_value = !flag.value.empty() && option.get_items_expected_min() == 0;
  flag.several_values = option.get_items_expected_max() > 1;
  flag.help = option.get_description();
  flag.preset = option.get_default_str();
  flag.required = option.get_required();
  return flag;
}

CommandInfo command_of(const CLI::App& app, const std::string& path) {
  CommandInfo command{.path = path, .help = app.get_description(), .footer = app.get_footer(), .flags = {}, .commands = {}};
  for (const CLI::Option* option : app.get_options()) command.flags.push_back(flag_of(*option));
  for (const CLI::App* inner : app.get_subcommands([](const CLI::App*) { return true; }))
    command.commands.push_back(command_of(*inner, path + " " + inner->get_name()));
  return command;
}

void add(std::vector<const CommandInfo*>& all, const CommandInfo& command) {
  all.push_back(&command);
  for (const CommandInfo& inner : command.commands) add(all, inner);
}

}  // namespace

CommandInfo command_tree(const CLI::App& app) { return command_of(app, app.get_name()); }

std::vector<const CommandInfo*> all_commands(const CommandInfo& tree) {
  std::vector<const CommandInfo*> all;
  add(all, tree);
  return all;
}

}  // namespace heft::cli
