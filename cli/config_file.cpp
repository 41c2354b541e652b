#include "cli/config_file.h"

#include <algorithm>

#include "cli/toml_file.h"
#include "core/check.h"
#include "train/nearest_name.h"

namespace heft::cli {
namespace {

constexpr const char* kOp = "config";

bool is_known(const std::string& key) {
  static const std::vector<std::string> names = setting_names();
  for (const std::string& name : names)
    if (key == name || (name.ends_with(".NAME") && key.starts_with(name.substr(0, name.size() - 4)))) return true;
  return false;
}

train::RecipeField program_setting(const TomlNode& node) {
  if (const auto* whole = node.toml.as_integer()) return {node.key, whole->get(), node.where()};
  if (const auto* text = node.toml.as_string()) return {node.key, text->get(), node.where()};
  node.refuse("a whole number or a text");
}

}  // namespace

const std::vector<std::string>& program_settings() {
  static const std::vector<std::string> all{"out", "threads", "checkpoint_every", "keep", "early_stopping"};
  return all;
}

std::vector<std::string> setting_names() {
  std::vector<std::string> names = train::recipe_field_names();
  names.insert(names.end(), program_settings().begin(), program_settings().end());
  return names;
}

Settings parse_config(const std::string& text, const std::string& path) {
  const TomlFile place{kOp, path};
  const toml::table root = parse_toml(kOp, text, path);
  const std::vector<std::string>& program = program_settings();
  Settings settings;
  TomlTable(root, place).each_field({}, [&](const TomlNode& node) {
    if (!is_known(node.key))
      fail(kOp, "expected the name of a setting at {}, perhaps {}; got '{}'", node.where(),
           train::nearest_name(node.key, setting_names()), node.key);
    if (std::find(program.begin(), program.end(), node.key) == program.end()) settings.recipe.push_back(node.field());
    else settings.program.push_back(program_setting(node));
  });
  return settings;
}

Settings read_config(const std::string& path) {
  return parse_config(read_toml_text(kOp, "a TOML file of settings", path), path);
}

train::Recipe read_config_of_run(const std::string& path) {
  train::Recipe recipe;
  try {
    set_fields(read_config(path).recipe, recipe);
    train::resolved(recipe);
  } catch (const ValueError& error) {
    fail<DataError>(kOp, "expected the settings of a run in {}; {}", path, error.what());
  }
  return recipe;
}

void set_fields(const train::RecipeFields& fields, train::Recipe& recipe) {
  for (const train::RecipeField& field : fields)
    if (field.name == "seed") set_field(recipe, {"data.seed", field.value, field.where});
  for (const train::RecipeField& field : fields) set_field(recipe, field);
}

}  // namespace heft::cli
