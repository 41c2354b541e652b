// heft study: methods x seeds x data sets from one file, with a table in the end.
#include <filesystem>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/study_file.h"
#include "cli/study_run.h"

namespace heft::cli {
namespace {

struct Flags {
  std::string file;
  std::string out;  // empty: runs/NAME
  StudyFlags how;
};

constexpr const char* kHelp = R"(The file, in TOML; see examples/studies/quick.toml:
  name = "tails"                    # results go to runs/tails
  seeds = [0, 1, 2]
  baseline = "SGD"                  # differences to it, seed by seed
  report = "last"                   # or "best-on-test": the best epoch on the test set, labelled so
  [choosing]                        # how settings are chosen; never on the test set
  validation = 0.2                  # share of the training set held out for it [0.2]
  seeds = [100]                     # [the first seed]
  [shots]
  many = 100                        # classes with more images are "many", with fewer than few "few"
  few = 20
  [base]                            # fields of every run, by their names in config.json
  epochs = 20
  data.class_order = "reversed"
  [[dataset]]                       # more fields; those of a method come last
  name = "long tail"
  data.imbalance = "exp:0.01"
  [[method]]
  name = "SGD"
  [[method]]
  name = "ABSGD"
  datasets = ["long tail"]          # that it runs on [all]; a name may come again on others, with other settings
  optimizer = "absgd"
  [method.choose]                   # every combination is tried, the best runs with all seeds
  lambda = [1, 2, 5]

Examples:
  heft study examples/studies/quick.toml --list
  heft study examples/studies/quick.toml --jobs 2 --threads 1
      often faster than one run with two threads, the numbers being those of one thread

Writes results.jsonl (a line per finished run), table.md, table.csv, study.json and the file as study.toml to --out. Run again, it goes on where it
stopped: a run is repeated only if its recipe has changed.)";

int run(const Flags& flags) {
  const train::Study study = read_study(flags.file);
  return run_study(study, flags.out.empty() ? (std::filesystem::path("runs") / study.name).string() : flags.out, flags.how);
}

}  // namespace

void add_study(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("study", "Methods x seeds x data sets from one file, with means and deviations");
  const auto flags = std::make_shared<Flags>();
  command->add_option("file", flags->file, "What to run, in TOML")->required();
  command->add_option("--out", flags->out, "Folder for the results [runs/NAME]");
  add_study_flags(*command, flags->how);
  command->footer(kHelp);
  command->callback([flags, &exit_code] { exit_code = run(*flags); });
}

}  // namespace heft::cli
