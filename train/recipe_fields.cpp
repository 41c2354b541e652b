#include "train/recipe_fields.h"

#include <concepts>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/check.h"
#include "train/nearest_name.h"
#include "train/read_number.h"
#include "train/visit_recipe.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "recipe";
constexpr std::string_view kConstant = ".NAME";  // stands for any name within a map

std::string at(const std::string& where) { return where.empty() ? "" : " at " + where; }

[[noreturn]] void refuse(const char* expected, const RecipeField& got) {
  fail(kOp, "expected {} for {}{}; got {}", expected, got.name, at(got.where), str(got.value));
}

void read(const RecipeField& from, std::string& field) {
  const std::string* text = std::get_if<std::string>(&from.value);
  if (text == nullptr) refuse("a text", from);
  field = *text;
}

void read(const RecipeField& from, double& field) {
  if (const std::int64_t* whole = std::get_if<std::int64_t>(&from.value)) field = static_cast<double>(*whole);
  else if (const double* real = std::get_if<double>(&from.value)) field = *real;
  else refuse("a number", from);
}

// A seed that no FieldValue holds as a number.
bool beyond_whole(const std::string& text, std::integral auto& field) {
  std::uint64_t value = 0;
  if (!read_number(text, value) || std::in_range<std::int64_t>(value)) return false;
  if (!std::in_range<std::remove_reference_t<decltype(field)>>(value)) return false;
  field = static_cast<std::remove_reference_t<decltype(field)>>(value);
  return true;
}

template <std::integral T>
void read(const RecipeField& from, T& field) {
  if (const std::string* text = std::get_if<std::string>(&from.value); text != nullptr && beyond_whole(*text, field)) return;
  const std::int64_t* whole = std::get_if<std::int64_t>(&from.value);
  if (whole == nullptr || !std::in_range<T>(*whole))
    refuse(std::is_unsigned_v<T> ? "a whole number from 0 on" : "a whole number", from);
  field = static_cast<T>(*whole);
}

void read(const RecipeField& from, bool& field) {
  const bool* yes = std::get_if<bool>(&from.value);
  if (yes == nullptr) refuse("true or false", from);
  field = *yes;
}

template <class T>
void read(const RecipeField& from, std::optional<T>& field) {
  read(from, field.emplace());
}

void read(const RecipeField& from, Device& field) {
  const std::string* name = std::get_if<std::string>(&from.value);
  if (name == nullptr || (*name != "cpu" && *name != "cuda" && *name != "cuda:0")) refuse("'cpu' or 'cuda'", from);
  field = *name == "cpu" ? Device::cpu() : Device::cuda();
}

template <class T>
constexpr bool is_map = std::is_same_v<std::remove_cvref_t<T>, std::map<std::string, double>>;

}  // namespace

std::string str(const FieldValue& value) {
  return std::visit(
      [](const auto& v) {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::string>) return "'" + v + "'";
        else return fmt::format("{}", v);
      },
      value);
}

std::string str(const RecipeFields& fields) {
  std::string text;
  for (const RecipeField& field : fields) text += (text.empty() ? "" : ", ") + field.name + " = " + str(field.value);
  return text;
}

std::vector<std::string> recipe_field_names() {
  std::vector<std::string> names;
  const Recipe any;
  visit_recipe(any, [&names](const std::string& name, const auto& field) {
    names.push_back(is_map<decltype(field)> ? name + std::string(kConstant) : name);
  });
  return names;
}

void set_field(Recipe& recipe, const RecipeField& field) {
  bool known = false;
  visit_recipe(recipe, [&](const std::string& name, auto& member) {
    if constexpr (is_map<decltype(member)>) {
      if (!field.name.starts_with(name + ".")) return;
      read(field, member[field.name.substr(name.size() + 1)]);
    } else {
      if (field.name != name) return;
      read(field, member);
    }
    known = true;
  });
  if (!known)
    fail(kOp, "expected the name of a field of a recipe{}, perhaps {}; got '{}'", at(field.where),
         nearest_name(field.name, recipe_field_names()), field.name);
}

}  // namespace heft::train
