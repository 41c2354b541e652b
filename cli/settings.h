// Where the settings of a run come from: a file, the environment, the command line; each outdoes those before it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/config_file.h"
#include "train/recipe.h"

namespace heft::cli {

// What variables HEFT_TRAIN_NAME of `environment` (as environ(7)) say: NAME is that of a setting, in capitals and with _ for
// the dot, HEFT_TRAIN_DATA_IMBALANCE. Throws ValueError naming the variable: for a name that is none, with the nearest that
// is, and for a value of the wrong type.
Settings settings_of(const char* const* environment);

// Sets `recipe`, which the options of `command` write to, to that of the file (empty: none), of the environment and of the
// options that are given. With `program` the settings of the program go to the options of these names that are not.
void take_settings(CLI::App& command, const std::string& config, train::Recipe& recipe, bool program = true);

}  // namespace heft::cli
