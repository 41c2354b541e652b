// What the program says. Results go to stdout, for people or, with a command's --json, as JSON; what happens on the way goes
// to stderr. --quiet, which every command has, silences all but errors and JSON.
#pragma once

#include <CLI/CLI.hpp>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>

namespace heft::cli {

// --quiet on every command of `app` that does something, for all that are there already.
void add_quiet_flags(CLI::App& app);
CLI::Option* add_json_flag(CLI::App& command, bool& json, const char* help = "One JSON object on stdout");

// Where to write the result that a user wants in `path`: that, or what it leads to as a link. Throws ValueError where there is
// something that it must not replace: no regular file, or one with another ending than `extension`. `op`: who writes.
std::string output_file(const std::string& op, const std::string& path, const std::string& extension);

std::ostream& results();  // for people
std::ostream& notes();    // progress, warnings, hints
// Indented, or on one line of several; bytes that are no UTF-8 become a mark.
void print_json(const nlohmann::ordered_json& json);
void print_json_line(const nlohmann::ordered_json& json);

}  // namespace heft::cli
