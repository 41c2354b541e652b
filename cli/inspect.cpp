// heft inspect: what is in a file, without training or predicting.
#include "cli/inspect.h"

#include "cli/commands.h"

namespace heft::cli {

void add_inspect(CLI::App& app, int& exit_code) {
  CLI::App* inspect = app.add_subcommand("inspect", "What is in a file that heft reads or writes");
  inspect->require_subcommand(1);
  add_inspect_checkpoint(*inspect, exit_code);
}

}  // namespace heft::cli
