// What heft inspect can look at: a subcommand each.
#pragma once

#include <CLI/CLI.hpp>

namespace heft::cli {

void add_inspect_checkpoint(CLI::App& inspect, int& exit_code);

}  // namespace heft::cli
