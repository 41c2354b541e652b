#include "cli/output.h"

#include <filesystem>
#include <iostream>

#include "core/check.h"

namespace heft::cli {
namespace {

using Json = nlohmann::ordered_json;

bool quiet = false;

std::ostream& unless_quiet(std::ostream& stream) {
  static std::ostream nowhere(nullptr);
  return quiet ? nowhere : stream;
}

void print(const Json& json, int indent) {
  std::cout << json.dump(indent, ' ', false, Json::error_handler_t::replace) << std::endl;
}

}  // namespace

void add_quiet_flags(CLI::App& app) {
  const std::vector<CLI::App*> commands = app.get_subcommands([](CLI::App*) { return true; });
  for (CLI::App* command : commands) add_quiet_flags(*command);
  if (!commands.empty()) return;
  // Before other flags act, which may have something to say.
  app.add_flag("-q,--quiet", quiet, "Say nothing but errors, and what --json asks for")->trigger_on_parse();
}

CLI::Option* add_json_flag(CLI::App& command, bool& json, const char* help) { return command.add_flag("--json", json, help); }

std::string output_file(const std::string& op, const std::string& path, const std::string& extension) {
  std::error_code none;
  if (!std::filesystem::exists(path, none)) return path;
  check(std::filesystem::is_regular_file(path, none), op,
        "expected a file for the result, or a name that is free (--out); {} is there and is no file", path);
  const std::filesystem::path whole = std::filesystem::canonical(path);
  check(whole.extension() == extension, op, "expected a result that replaces nothing but a {} file (--out); {} is there",
        extension, whole.string());
  return whole.string();
}

std::ostream& results() { return unless_quiet(std::cout); }
std::ostream& notes() { return unless_quiet(std::cerr); }

void print_json(const Json& json) { print(json, 2); }
void print_json_line(const Json& json) { print(json, -1); }

}  // namespace heft::cli
