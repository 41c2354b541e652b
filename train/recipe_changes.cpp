// The part of train/recipe_fields.h that takes recipes apart.
#include <concepts>
#include <type_traits>
#include <utility>

#include "core/check.h"
#include "train/read_number.h"
#include "train/recipe_fields.h"
#include "train/visit_recipe.h"

namespace heft::train {
namespace {

using Constants = std::map<std::string, double>;

FieldValue value_of(double value) { return value; }
FieldValue value_of(const std::string& value) { return value; }
FieldValue value_of(Device value) { return value.str(); }
FieldValue value_of(bool value) { return value; }
FieldValue value_of(std::integral auto value) {
  if (std::in_range<std::int64_t>(value)) return static_cast<std::int64_t>(value);
  return std::to_string(value);
}

void add(RecipeFields& fields, const std::string& name, const auto& value) { fields.push_back({name, value_of(value)}); }
template <class T>
void add(RecipeFields& fields, const std::string& name, const std::optional<T>& value) {
  if (value) add(fields, name, *value);
}
void add(RecipeFields& fields, const std::string& name, const Constants& values) {
  for (const auto& [constant, value] : values) add(fields, name + "." + constant, value);
}

// With its default in the place of the field.
Recipe without(Recipe recipe, const std::string& name) {
  const Recipe none;
  visit_recipe(recipe, [&](const std::string& field, auto& member) {
    if (field != name) return;
    visit_recipe(none, [&](const std::string& other, const auto& value) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::remove_cvref_t<decltype(member)>>)
        if (other == name) member = value;
    });
  });
  return recipe;
}

bool same_run(const Recipe& a, const Recipe& b) {
  try {
    return str(fields_of(resolved(a))) == str(fields_of(resolved(b)));
  } catch (const ValueError&) {
    return false;
  }
}

// TOML is UTF-8, of which a byte below 0x20 can only be a control character.
std::string quoted(const std::string& text) {
  std::string safe = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) safe += fmt::format("\\u{:04x}", byte);
    else if (c == '"' || c == '\\') safe += std::string("\\") + c;
    else safe += c;
  }
  return safe + '"';
}

}  // namespace

RecipeFields fields_of(const Recipe& recipe) {
  RecipeFields fields;
  visit_recipe(recipe, [&fields](const std::string& name, const auto& value) { add(fields, name, value); });
  return fields;
}

RecipeFields changed_fields(const Recipe& recipe) {
  const Recipe whole = resolved(recipe);
  RecipeFields changed;
  visit_recipe(whole, [&](const std::string& name, const auto& value) {
    if (same_run(without(whole, name), whole)) return;
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, Constants>) {
      const Constants usual = loss_options(whole.loss);
      for (const auto& [constant, is] : value)
        if (usual.at(constant) != is) add(changed, name + "." + constant, is);
    } else {
      add(changed, name, value);
    }
  });
  return changed;
}

RecipeField field_of_text(const std::string& name, const std::string& text, const std::string& where) {
  bool is_text = false, is_bool = false;
  const Recipe any;
  visit_recipe(any, [&](const std::string& field, const auto& value) {
    using T = std::remove_cvref_t<decltype(value)>;
    is_text = is_text || (field == name && (std::is_same_v<T, std::string> || std::is_same_v<T, Device>));
    is_bool = is_bool || (field == name && std::is_same_v<T, bool>);
  });
  std::int64_t whole = 0;
  std::uint64_t seed = 0;
  double real = 0;
  if (is_text || text.empty()) return {name, text, where};
  if (is_bool && (text == "true" || text == "false")) return {name, text == "true", where};
  if (read_number(text, whole)) return {name, whole, where};
  if (!read_number(text, seed) && read_number(text, real)) return {name, real, where};
  return {name, text, where};
}

std::string to_toml(const RecipeFields& fields) {
  std::string text;
  for (const RecipeField& field : fields) {
    const std::string* words = std::get_if<std::string>(&field.value);
    text += fmt::format("{} = {}\n", field.name, words != nullptr ? quoted(*words) : str(field.value));
  }
  return text;
}

}  // namespace heft::train
