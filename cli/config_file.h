// A TOML file of the settings of a run, as heft train --config takes it.
#pragma once

#include <string>
#include <vector>

#include "train/recipe_fields.h"

namespace heft::cli {

struct Settings {
  train::RecipeFields recipe = {};
  // Of the program and no recipe's: program_settings(). Numbers and texts; what they may be, the flags of these names know.
  train::RecipeFields program = {};
};
// "out", "threads", ...: the flags of heft train, with _ for -.
const std::vector<std::string>& program_settings();
// Those, and the fields of a recipe. What a key or a variable can be called.
std::vector<std::string> setting_names();

// Throws ValueError naming file and line where the text is not TOML, where a key is unknown (with the nearest that is known)
// and where a value is of the wrong type. `path` is for errors.
Settings parse_config(const std::string& text, const std::string& path);
// Throws DataError too, where the file cannot be read or is larger than 1 MB.
Settings read_config(const std::string& path);

// Sets the fields in turn; `seed` is that of the data too, unless data.seed is among them.
void set_fields(const train::RecipeFields& fields, train::Recipe& recipe);
// The recipe that a run has written. Throws DataError: what is wrong with it is the run's, not the user's.
train::Recipe read_config_of_run(const std::string& path);

}  // namespace heft::cli
