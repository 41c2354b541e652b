// The subcommands of the heft program. Each adds itself to `app` with its flags and its help; when the command line names it,
// it runs within app.parse() and leaves the exit code. Errors of the library pass through.
#pragma once

#include <CLI/CLI.hpp>

namespace heft::cli {

// 0 and these; a wrong flag or value, bad data, a run that diverged. After a signal: interrupted_exit_code() (cli/run.h).
enum ExitCode { kSuccess = 0, kFailure = 1, kUsage = 2, kBadData = 3, kDiverged = 4 };

void add_train(CLI::App& app, int& exit_code);
void add_completion(CLI::App& app, int& exit_code);
void add_demo(CLI::App& app, int& exit_code);
void add_eval(CLI::App& app, int& exit_code);
void add_export(CLI::App& app, int& exit_code);
void add_inspect(CLI::App& app, int& exit_code);
void add_man(CLI::App& app, int& exit_code);
void add_predict(CLI::App& app, int& exit_code);
void add_report(CLI::App& app, int& exit_code);
void add_study(CLI::App& app, int& exit_code);
void add_sweep(CLI::App& app, int& exit_code);
void add_summary(CLI::App& app, int& exit_code);

}  // namespace heft::cli
