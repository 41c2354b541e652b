#include "train/recipe_text.h"

#include <cmath>
#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>
#include <utility>

#include "core/check.h"
#include "train/visit_recipe.h"

namespace heft::train {
namespace {

using Json = nlohmann::ordered_json;

Json value_of(double value) { return std::isinf(value) ? Json(nullptr) : Json(value); }
Json value_of(const std::string& value) { return value; }
Json value_of(Device value) { return value.str(); }
Json value_of(std::integral auto value) { return value; }
Json value_of(const std::map<std::string, double>& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = value_of(value);
  return object;
}

Json fields_of(const Recipe& recipe) {
  Json json = Json::object();
  visit_recipe(recipe, [&json](const std::string& name, const auto& field) {
    if constexpr (requires { field.has_value(); }) {
      if (field) json[name] = value_of(*field);
    } else {
      json[name] = value_of(field);
    }
  });
  return json;
}

// False: of another type.
bool read(const Json& json, double& value) {
  if (json.is_null()) value = std::numeric_limits<double>::infinity();
  else if (json.is_number()) value = json.get<double>();
  else return false;
  return true;
}
bool read(const Json& json, std::string& value) {
  if (json.is_string()) value = json.get<std::string>();
  return json.is_string();
}
bool read(const Json& json, Device& value) {
  if (json == "cpu") value = Device::cpu();
  else if (json == "cuda" || json == "cuda:0") value = Device::cuda();
  else return false;
  return true;
}
template <std::integral T>
bool read(const Json& json, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    if (json.is_boolean()) value = json.get<bool>();
    return json.is_boolean();
  } else {
    const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                                : json.is_number_integer() && std::in_range<T>(json.get<std::int64_t>());
    if (fits) value = json.get<T>();
    return fits;
  }
}
bool read(const Json& json, std::map<std::string, double>& values) {
  bool fits = json.is_object();
  if (fits)
    for (const auto& item : json.items()) fits = fits && read(item.value(), values[item.key()]);
  return fits;
}
template <class T>
bool read(const Json& json, std::optional<T>& value) {
  return read(json, value.emplace());
}

std::string shown(const Json& fields, const std::string& name) { return fields.contains(name) ? fields[name].dump() : "unset"; }

}  // namespace

std::string recipe_text(const Recipe& recipe) { return fields_of(recipe).dump(-1, ' ', false, Json::error_handler_t::replace); }

Recipe read_recipe(const std::string& text, const std::string& where) {
  constexpr const char* kOp = "recipe";
  const Json json = Json::parse(text, nullptr, false);
  check<DataError>(json.is_object(), kOp, "expected the recipe of a run in {}; it is none", where);
  std::set<std::string> unknown;
  for (const auto& item : json.items()) unknown.insert(item.key());
  Recipe recipe;
  visit_recipe(recipe, [&](const std::string& name, auto& field) {
    if (unknown.erase(name) == 0) return;
    check<DataError>(read(json[name], field), kOp, "expected a value for the recipe's {} in {} that fits; got {}", name, where,
                     json[name].dump(-1, ' ', false, Json::error_handler_t::replace));
  });
  check<DataError>(unknown.empty(), kOp,
                   "expected a recipe in {} of the fields that this version of heft has; got '{}': another version wrote it",
                   where, unknown.empty() ? "" : *unknown.begin());
  return recipe;
}

std::string difference(const Recipe& recipe, const Recipe& from) {
  const Json now = fields_of(recipe), before = fields_of(from);
  std::string text;
  const Recipe any;
  visit_recipe(any, [&](const std::string& name, const auto&) {
    const std::string is = shown(now, name), was = shown(before, name);
    if (is != was) text += fmt::format("{}{} {} instead of {}", text.empty() ? "" : ", ", name, is, was);
  });
  return text;
}

}  // namespace heft::train
