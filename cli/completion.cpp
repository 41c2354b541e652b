// heft completion: scripts that complete the program's command line, of its own flags, so that they are never behind it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace heft::cli {
namespace {

constexpr const char* kHelp = R"(Examples:
  heft completion bash > ~/.local/share/bash-completion/completions/heft
  heft completion zsh > ~/.zfunc/_heft          # a folder of fpath, before compinit
  heft completion fish > ~/.config/fish/completions/heft.fish

cmake --install and the packages put them where the shells look.)";

std::string single_quoted(const std::string& text, const std::string& quote) {
  std::string safe = "'";
  for (const char c : text) safe += c == '\'' ? quote : std::string(1, c == '\n' ? ' ' : c);
  return safe.append("'");
}

std::string escaped(const std::string& text, const std::string& special) {
  std::string safe;
  for (const char c : text) {
    if (special.find(c) != std::string::npos) safe += '\\';
    safe += c;
  }
  return safe;
}

// Patterns of a case: the command lines that lead into a command.
std::string paths_of(const CommandInfo& tree, const char* quote, const char* between) {
  std::vector<std::string> paths;
  for (const CommandInfo* command : all_commands(tree))
    if (command != &tree) paths.push_back(quote + command->path + quote);
  return fmt::format("{}", fmt::join(paths, between));
}

// Where a word may be a file, only one that begins with a dash is a flag.
std::string bash_words(const CommandInfo& command) {
  std::vector<std::string> flags, others;
  for (const CommandInfo& inner : command.commands) others.push_back(inner.name());
  for (const FlagInfo& flag : command.flags) {
    if (flag.argument) others.insert(others.end(), flag.choices.begin(), flag.choices.end());
    else flags.insert(flags.end(), flag.names.begin(), flag.names.end());
  }
  return fmt::format("    \"{}\") words=\"{}\"; [[ $word != -* ]] || words=\"{}\" ;;\n", command.path, fmt::join(others, " "),
                     fmt::join(flags, " "));
}

std::string bash(const CommandInfo& tree) {
  std::string values, words;
  for (const CommandInfo* command : all_commands(tree)) {
    words += bash_words(*command);
    for (const FlagInfo& flag : command->flags) {
      if (flag.argument || flag.value.empty() || flag.optional_value) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : flag.names) patterns.push_back(fmt::format("\"{} {}\"", command->path, name));
      values += fmt::format("    {}) words=\"{}\" of_value=1 ;;\n", fmt::join(patterns, " | "), fmt::join(flag.choices, " "));
    }
  }
  // Where nothing is found bash falls back on files.
  return fmt::format(R"(# Completion of heft for bash; written by heft completion bash.
_heft() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} path={} words="" of_value="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${{COMP_WORDS[i]}}" in
    {}) path="$path ${{COMP_WORDS[i]}}" ;;
    esac
  done
  COMPREPLY=()
  case "$path $before" in
{}  esac
  [[ -n $of_value ]] || case "$path" in
{}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -o default -F _heft {}
)",
                     tree.path, paths_of(tree, "\"", " | "), values, words, tree.path);
}

// `place`: of an argument, from 1 on.
std::string zsh_flag(const FlagInfo& flag, int place) {
  std::string action = flag.choices.empty() ? "_files" : fmt::format("({})", fmt::join(flag.choices, " "));
  const std::string quote = "'\\''";
  if (flag.argument) {
    const std::string which = flag.several_values ? "*" : std::to_string(place);
    return single_quoted(fmt::format("{}:{}:{}", which, escaped(flag.names[0], ":"), action), quote);
  }
  const std::string help = escaped(flag.help, "[]\\");
  const std::string value =
      flag.value.empty() ? "" : fmt::format("{}{}:{}", flag.optional_value ? "::" : ":", flag.value, action);
  std::vector<std::string> specs;
  for (const std::string& name : flag.names) specs.push_back(single_quoted(fmt::format("{}[{}]{}", name, help, value), quote));
  return fmt::format("{}", fmt::join(specs, " \\\n    "));
}

std::string zsh_function(const std::string& path) {
  std::string name = "_" + path;
  for (char& c : name)
    if (c == ' ') c = '_';
  return name;
}

std::string zsh(const CommandInfo& tree) {
  std::string text = "#compdef heft\n# Completion of heft for zsh; written by heft completion zsh.\n";
  for (const CommandInfo* command : all_commands(tree)) {
    text += zsh_function(command->path) + "() {\n";
    if (!command->commands.empty()) text += "  local context state state_descr line\n  typeset -A opt_args\n";
    text += command->commands.empty() ? "  _arguments -s" : "  _arguments -C -s";
    int place = 0;
    for (const FlagInfo& flag : command->flags) {
      place += flag.argument;
      text += " \\\n    " + zsh_flag(flag, place);
    }
    if (command->commands.empty()) {
      text += "\n}\n";
      continue;
    }
    std::string names, calls;
    for (const CommandInfo& inner : command->commands) {
      names += " " + single_quoted(inner.name() + ":" + escaped(inner.help, ":\\"), "'\\''");
      calls += fmt::format("    {}) {} ;;\n", inner.name(), zsh_function(inner.path));
    }
    text += fmt::format(
        " \\\n    '1: :->command' '*:: :->arguments'\n  case $state in\n  command)\n    local -a commands=({})\n"
        "    _describe command commands\n    ;;\n  arguments)\n    case $line[1] in\n{}    esac\n    ;;\n  esac\n}}\n",
        names.substr(1), calls);
  }
  // Loaded as a function by compinit, or sourced.
  return text + "if [ \"$funcstack[1]\" = _heft ]; then\n  _heft \"$@\"\nelse\n  compdef _heft heft\nfi\n";
}

std::string fish(const CommandInfo& tree) {
  const auto quoted = [](const std::string& text) { return single_quoted(escaped(text, "\\"), "\\'"); };
  std::string text = fmt::format(R"(# Completion of heft for fish; written by heft completion fish.
function __heft_at --description 'Whether the command line so far leads to that command'
    set -l words (commandline -opc)
    set -e words[1]
    set -l path {}
    for word in $words
        switch "$path $word"
            case {}
                set path "$path $word"
        end
    end
    test "$path" = "$argv"
end
)",
                                 tree.path, paths_of(tree, "'", " "));
  for (const CommandInfo* command : all_commands(tree)) {
    const std::string line = fmt::format("complete -c {} -n '__heft_at {}'", tree.path, command->path);
    for (const CommandInfo& inner : command->commands)
      text += fmt::format("{} -f -a {} -d {}\n", line, inner.name(), quoted(inner.help));
    for (const FlagInfo& flag : command->flags) {
      if (flag.argument) continue;
      text += line;
      for (const std::string& name : flag.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!flag.value.empty() && !flag.optional_value) text += " -r";
      if (!flag.choices.empty()) text += fmt::format(" -f -a '{}'", fmt::join(flag.choices, " "));
      text += " -d " + quoted(flag.help) + "\n";
    }
  }
  return text;
}

}  // namespace

void add_completion(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("completion", "Print a script that completes this program's command line");
  const auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(kHelp);
  command->callback([&app, shell, &exit_code] {
    const CommandInfo tree = command_tree(app);
    results() << (*shell == "bash" ? bash(tree) : *shell == "zsh" ? zsh(tree) : fish(tree));
    exit_code = kSuccess;
  });
}

}  // namespace heft::cli
