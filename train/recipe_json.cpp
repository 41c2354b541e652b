#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "train/visit_recipe.h"

namespace heft::train {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json value_of(const T& value) {
  return value;
}
Json value_of(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json value_of(Device device) { return device.str(); }
template <class T>
Json value_of(const std::optional<T>& value) {
  return value ? value_of(*value) : Json(nullptr);
}

}  // namespace

std::string to_json(const Recipe& recipe) {
  const Recipe r = resolved(recipe);
  Json json;
  visit_recipe(r, [&json](std::string name, const auto& value) {
    std::replace(name.begin(), name.end(), '.', '/');
    json[Json::json_pointer("/" + name)] = value_of(value);
  });
  return json.dump(2);
}

}  // namespace heft::train
