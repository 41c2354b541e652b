// heft inspect: what is in a file or a folder, before it is used. Each kind of thing is a subcommand.
#include "cli/inspect.h"
#include "cli/commands.h"

namespace heft::cli {

void add_inspect(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("inspect", "What is in a run, in a model file, or in a data set of images");
  command->require_subcommand(1);
  add_inspect_data(*command, exit_code);
  add_inspect_run(*command, exit_code);
  add_inspect_checkpoint(*command, exit_code);
}

}  // namespace heft::cli
