// The subcommands of heft inspect, each in a file of its own.
#pragma once

#include <CLI/CLI.hpp>

namespace heft::cli {

void add_inspect_data(CLI::App& inspect, int& exit_code);
void add_inspect_run(CLI::App& inspect, int& exit_code);
void add_inspect_checkpoint(CLI::App& inspect, int& exit_code);

}  // namespace heft::cli
