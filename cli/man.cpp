// heft man: the manual page, of the program's own help.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ostream>
#include <sstream>
#include <string>

#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "core/version.h"

namespace heft::cli {
namespace {

// A minus is what a reader can paste; a dot or an apostrophe in front would be a request.
std::string roff(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\\') safe += "\\e";
    else if (c == '-') safe += "\\-";
    else if ((c == '.' || c == '\'') && (safe.empty() || safe.back() == '\n')) safe += std::string("\\&") + c;
    else safe += c;
  }
  return safe;
}

std::string as_it_stands(const std::string& text) { return ".PP\n.nf\n" + roff(text) + "\n.fi\n"; }

std::string flag_text(const FlagInfo& flag) {
  std::string text = ".TP\n";
  if (flag.argument) {
    text += fmt::format("\\fI{}\\fR\n", roff(flag.names[0]));
  } else {
    std::vector<std::string> names;
    for (const std::string& name : flag.names) names.push_back("\\fB" + roff(name) + "\\fR");
    text += fmt::format("{}", fmt::join(names, ", "));
    if (!flag.value.empty()) text += " \\fI" + roff(flag.value) + "\\fR";
    text += '\n';
  }
  text += flag.help.empty() ? "\\&" : roff(flag.help);
  if (!flag.preset.empty()) text += roff(fmt::format(" [{}]", flag.preset));
  if (flag.required) text += " (required)";
  return text + '\n';
}

std::string synopsis(const CommandInfo& command) {
  std::string text = "\\fB" + roff(command.path) + "\\fR";
  if (!command.commands.empty()) text += " \\fICOMMAND\\fR";
  for (const FlagInfo& flag : command.flags)
    if (flag.argument) text += " \\fI" + roff(flag.names[0]) + "\\fR";
  return text + " [\\fIflags\\fR]\n";
}

std::string page(const CommandInfo& tree) {
  std::string text = fmt::format(".TH HEFT 1 \"\" \"heft {}\" \"User Commands\"\n.SH NAME\nheft \\- {}\n", HEFT_VERSION,
                                 roff(tree.help.substr(tree.help.find(": ") + 2)));
  text += ".SH SYNOPSIS\n" + synopsis(tree) + ".SH FLAGS\n";
  for (const FlagInfo& flag : tree.flags) text += flag_text(flag);
  text += ".SH COMMANDS\n";
  for (const CommandInfo* command : all_commands(tree)) {
    if (command == &tree || !command->commands.empty()) continue;
    text += ".SS " + roff(command->path) + "\n" + synopsis(*command) + ".PP\n" + roff(command->help) + ".\n";
    for (const FlagInfo& flag : command->flags)
      if (flag.names.back() != "--help") text += flag_text(flag);
    if (!command->footer.empty()) text += as_it_stands(command->footer);
  }
  // "Exit codes: ..." and "Environment: ...", a line each.
  std::istringstream footer(tree.footer);
  for (std::string line; std::getline(footer, line);) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    text += line.starts_with("Exit") ? ".SH \"EXIT STATUS\"\n" : ".SH ENVIRONMENT\n";
    text += roff(line.substr(colon + 2)) + '\n';
  }
  return text;
}

}  // namespace

void add_man(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("man", "Print the manual page");
  command->footer("Examples:\n  heft man | man -l -");
  command->callback([&app, &exit_code] {
    results() << page(command_tree(app));
    exit_code = kSuccess;
  });
}

}  // namespace heft::cli
