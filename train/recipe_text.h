// A recipe as a text that gives it back exactly, for the state of a run.
#pragma once

#include <string>

#include "train/recipe.h"

namespace heft::train {

// A JSON object of the fields by name ("data.seed"), on one line. Unset ones are left out, infinity is null.
std::string recipe_text(const Recipe& recipe);
// What recipe_text() was given; a field that is not there has its default. Throws DataError naming `where` and the field for a
// text that is none, for a name that is none (of another version of heft), and for a value of the wrong type.
Recipe read_recipe(const std::string& text, const std::string& where);

// "lr 0.5 instead of 0.05, seed 1 instead of 0"; empty where the two are the same.
std::string difference(const Recipe& recipe, const Recipe& from);

}  // namespace heft::train
