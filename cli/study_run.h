// A study in its folder, from the first run that is not finished to the table.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "train/study.h"

namespace heft::cli {

struct StudyFlags {
  bool list = false;
  int jobs = 1;
  std::optional<int> threads = {};  // of each job
  bool json = false;
};
// --list, --jobs, --threads, --json.
void add_study_flags(CLI::App& command, StudyFlags& flags);

// Runs it in the folder `out`, with progress and tables, or lists its runs. Returns the exit code.
int run_study(const train::Study& study, const std::string& out, const StudyFlags& flags);

}  // namespace heft::cli
