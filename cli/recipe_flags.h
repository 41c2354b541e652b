// The flags that describe a training run.
#pragma once

#include <CLI/CLI.hpp>

#include "train/recipe.h"

namespace heft::cli {

// --data-dir, --device, --threads: where a run finds its data and what it runs on. --threads takes effect as it is parsed.
void add_machine_flags(CLI::App& command, train::Recipe& recipe);
// What is trained, on which data, and how: the rest of the recipe.
void add_recipe_flags(CLI::App& command, train::Recipe& recipe);

}  // namespace heft::cli
