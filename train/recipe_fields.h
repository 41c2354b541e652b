// A recipe's fields by name, as a configuration file gives them.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "train/recipe.h"

namespace heft::train {

using FieldValue = std::variant<bool, std::int64_t, double, std::string>;
// A field's name as to_json() writes it, tables before a dot ("lr", "data.imbalance", "loss_options.q"), and its value.
struct RecipeField {
  std::string name;
  FieldValue value;
  std::string where = {};  // it stands, for errors: "quick.toml:12"
};
using RecipeFields = std::vector<RecipeField>;

// "0.05", "true", "'exp:0.01'"
std::string str(const FieldValue& value);
// "lr = 0.05, lambda = 2"
std::string str(const RecipeFields& fields);

// The names that set_field() takes, in the order of to_json(); the constants of a loss as "loss_options.NAME".
std::vector<std::string> recipe_field_names();
// Sets one field. Whole numbers pass as real ones. Throws ValueError naming the field and where it stands for a name that is
// none, with the nearest that is one, and for a value of the wrong type. What is wrong in another way, resolved() and
// load_datasets() find.
void set_field(Recipe& recipe, const RecipeField& field);
// From a text, as an environment variable has it: the type is that of the field with that name.
RecipeField field_of_text(const std::string& name, const std::string& text, const std::string& where);

// Every field that is set: set_field() of all of them, on Recipe{}, gives the recipe again. A seed beyond what a whole number
// of TOML can be is a text of digits.
RecipeFields fields_of(const Recipe& recipe);
// Those of the resolved recipe that it would not have by itself: left out, they become another value, or the rest is refused.
RecipeFields changed_fields(const Recipe& recipe);
// A line of TOML for each: "data.imbalance = \"exp:0.01\"". set_field() takes what a reader makes of it.
std::string to_toml(const RecipeFields& fields);

}  // namespace heft::train
