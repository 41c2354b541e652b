// The program's commands and flags as plain data, for what is written about them: completions and the manual page.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace heft::cli {

struct FlagInfo {
  std::vector<std::string> names;    // "-q", "--quiet"; of an argument without a dash: its name
  std::string value;                 // "INT"; empty: it takes none
  std::vector<std::string> choices;  // as its type or its help lists them; empty: any, a file perhaps
  std::string help, preset;          // preset: the value that it has by itself; empty: none
  bool argument = false, required = false, optional_value = false, several_values = false;
};

struct CommandInfo {
  std::string path;  // "heft inspect data"
  std::string help, footer;
  std::vector<FlagInfo> flags;
  std::vector<CommandInfo> commands;
  std::string name() const { return path.substr(path.rfind(' ') + 1); }  // npos + 1 is 0
};

CommandInfo command_tree(const CLI::App& app);
// It and those within, the outer one first.
std::vector<const CommandInfo*> all_commands(const CommandInfo& tree);

}  // namespace heft::cli
