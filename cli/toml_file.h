// TOML files of ours, read with suspicion: every refusal is a ValueError that names the file and the line.
#pragma once

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "train/recipe_fields.h"

namespace heft::cli {

// The text of a regular file of at most 256 KB. `what` the file should be, for errors: "a study's TOML file". Throws DataError.
std::string read_toml_text(const char* op, const char* what, const std::string& path);
// `path` is for errors.
toml::table parse_toml(const char* op, const std::string& text, const std::string& path);

// What kind of file, for errors, and where it is; outlives the nodes and tables of the file.
struct TomlFile {
  const char* op;
  std::string path;
};

// A value, its key, and where it stands: "quick.toml:12".
struct TomlNode {
  const toml::node& toml;
  std::string key;
  const TomlFile& file;

  std::string where() const { return fmt::format("{}:{}", file.path, toml.source().begin.line); }
  [[noreturn]] void refuse(const char* expected) const;
  // Of a recipe: it fits the type of the field that `key` names, or the refusal is here, where its place is known.
  train::RecipeField field() const;
  // At least one.
  const toml::array& values(const char* expected) const;
};

class TomlTable {
 public:
  TomlTable(const toml::table& toml, const TomlFile& file) : toml_(toml), file_(file) {}

  std::string where() const { return TomlNode{toml_, {}, file_}.where(); }
  std::optional<TomlNode> find(const char* key) const;
  // Refuses a key that is not `known`, with the nearest that is.
  void check_keys(const std::vector<std::string>& known) const;
  template <class T>
  T get(const char* key, const char* expected, T otherwise) const {
    const std::optional<TomlNode> node = find(key);
    if (!node) return otherwise;
    const std::optional<T> value = node->toml.value<T>();
    if (!value) node->refuse(expected);
    return *value;
  }
  std::vector<std::uint64_t> seeds(const char* key) const;
  std::vector<std::string> names(const char* key) const;
  // An empty one where there is none.
  TomlTable table(const char* key) const;
  // [[key]], each with a name.
  std::vector<TomlTable> tables(const char* key) const;
  std::string name() const { return get<std::string>("name", "a text", ""); }
  // add(node) for every key but `except`, where tables are flattened to dotted names.
  template <class Add>
  void each_field(const std::vector<std::string>& except, const Add& add, const std::string& prefix = "") const {
    check(std::count(prefix.begin(), prefix.end(), '.') <= kMostLevels, file_.op,
          "expected settings at most {} tables deep; {} at {} goes on", kMostLevels, prefix, where());
    for (const auto& entry : toml_) {
      const std::string key = prefix + std::string(entry.first.str());
      if (std::find(except.begin(), except.end(), key) != except.end()) continue;
      if (const toml::table* inner = entry.second.as_table()) TomlTable(*inner, file_).each_field({}, add, key + ".");
      else add(TomlNode{entry.second, key, file_});
    }
  }

 private:
  static constexpr int kMostLevels = 8;

  const toml::table& toml_;
  const TomlFile& file_;
};

}  // namespace heft::cli
