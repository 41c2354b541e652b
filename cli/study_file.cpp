#include "cli/study_file.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "core/check.h"
#include "train/nearest_name.h"

namespace heft::cli {
namespace {

constexpr const char* kOp = "study";

using train::FieldValue;
using train::RecipeField;

// A node of the file, and where it stands: "quick.toml:12".
struct Node {
  const toml::node& toml;
  std::string key;
  const std::string& path;

  std::string where() const { return fmt::format("{}:{}", path, toml.source().begin.line); }
  [[noreturn]] void refuse(const char* expected) const {
    std::ostringstream text;
    toml.visit([&text](const auto& value) { text << value; });
    fail(kOp, "expected {} for {} at {}; got {}", expected, key, where(), text.str());
  }
};

FieldValue value_of(const Node& node) {
  if (const auto* value = node.toml.as_boolean()) return value->get();
  if (const auto* value = node.toml.as_integer()) return value->get();
  if (const auto* value = node.toml.as_floating_point()) return value->get();
  if (const auto* value = node.toml.as_string()) return value->get();
  node.refuse("true or false, a number or a text");
}

const toml::array& values_of(const Node& node, const char* expected) {
  if (!node.toml.is_array() || node.toml.as_array()->empty()) node.refuse(expected);
  return *node.toml.as_array();
}

class Table {
 public:
  Table(const toml::table& toml, const std::string& path) : toml_(toml), path_(path) {}

  std::string where() const { return Node{toml_, {}, path_}.where(); }
  std::optional<Node> find(const char* key) const {
    const toml::node* node = toml_.get(key);
    if (node == nullptr) return {};
    return Node{*node, key, path_};
  }
  void check_keys(const std::vector<std::string>& known) const {
    for (const auto& entry : toml_) {
      const std::string key(entry.first.str());
      check(std::find(known.begin(), known.end(), key) != known.end(), kOp, "expected one of {} at {}, perhaps {}; got '{}'",
            fmt::join(known, ", "), Node{entry.second, key, path_}.where(), train::nearest_name(key, known), key);
    }
  }
  template <class T>
  T get(const char* key, const char* expected, T otherwise) const {
    const std::optional<Node> node = find(key);
    if (!node) return otherwise;
    const std::optional<T> value = node->toml.value<T>();
    if (!value) node->refuse(expected);
    return *value;
  }
  std::vector<std::uint64_t> seeds(const char* key) const {
    constexpr const char* expected = "whole numbers from 0 on, as in [0, 1, 2],";
    std::vector<std::uint64_t> seeds;
    const std::optional<Node> node = find(key);
    if (!node) return seeds;
    for (const toml::node& seed : values_of(*node, expected)) {
      const auto* number = seed.as_integer();
      if (number == nullptr || number->get() < 0) Node{seed, key, path_}.refuse(expected);
      seeds.push_back(static_cast<std::uint64_t>(number->get()));
    }
    return seeds;
  }
  std::vector<std::string> names(const char* key) const {
    constexpr const char* expected = "names, as in [\"a\", \"b\"],";
    std::vector<std::string> names;
    const std::optional<Node> node = find(key);
    if (!node) return names;
    for (const toml::node& name : values_of(*node, expected)) {
      if (!name.is_string()) Node{name, key, path_}.refuse(expected);
      names.push_back(name.as_string()->get());
    }
    return names;
  }
  // An empty one where there is none.
  Table table(const char* key) const {
    static const toml::table none;
    const std::optional<Node> node = find(key);
    if (!node) return {none, path_};
    if (!node->toml.is_table()) node->refuse("a table");
    return {*node->toml.as_table(), path_};
  }
  // [[key]], each with a name.
  std::vector<Table> tables(const char* key) const {
    constexpr const char* expected = "tables, each under [[...]],";
    std::vector<Table> all;
    const std::optional<Node> node = find(key);
    if (!node) return all;
    for (const toml::node& one : values_of(*node, expected)) {
      if (!one.is_table()) Node{one, key, path_}.refuse(expected);
      all.emplace_back(*one.as_table(), path_);
      check(!all.back().name().empty(), kOp, "expected a name in the [[{}]] at {}; there is none", key, all.back().where());
    }
    return all;
  }
  std::string name() const { return get<std::string>("name", "a text", ""); }
  // add(node) for every key but `except`, where tables are flattened to dotted names.
  template <class Add>
  void each_field(const std::vector<std::string>& except, const Add& add, const std::string& prefix = "") const {
    for (const auto& entry : toml_) {
      const std::string key = prefix + std::string(entry.first.str());
      if (std::find(except.begin(), except.end(), key) != except.end()) continue;
      if (const toml::table* inner = entry.second.as_table()) Table(*inner, path_).each_field({}, add, key + ".");
      else add(Node{entry.second, key, path_});
    }
  }

 private:
  const toml::table& toml_;
  const std::string& path_;
};

// One that a recipe takes: what is wrong shows here, where its place is known.
RecipeField field_of(const Node& node) {
  train::Recipe scratch;
  RecipeField field{node.key, value_of(node), node.where()};
  set_field(scratch, field);
  return field;
}

// `others`: keys that are no fields of a recipe.
train::StudyFields read_fields(const Table& table, const std::vector<std::string>& others) {
  train::StudyFields fields{.name = table.name(), .where = table.where()};
  table.each_field(others, [&fields](const Node& node) { fields.fields.push_back(field_of(node)); });
  return fields;
}

train::StudyMethod read_method(const Table& table) {
  train::StudyMethod method{read_fields(table, {"name", "datasets", "choose"})};
  method.datasets = table.names("datasets");
  table.table("choose").each_field({}, [&method](const Node& node) {
    train::RecipeFields& alternatives = method.choose.emplace_back();
    for (const toml::node& value : values_of(node, "values to choose from, as in [0.1, 0.2],"))
      alternatives.push_back(field_of({value, node.key, node.path}));
  });
  return method;
}

std::string read_file(const std::string& path) {
  check<DataError>(std::filesystem::is_regular_file(path), kOp, "expected a study's TOML file; {} is none", path);
  std::ifstream file(path, std::ios::binary);
  check<DataError>(file.good(), kOp, "expected to read {}; it cannot be opened", path);
  return {std::istreambuf_iterator<char>(file), {}};
}

toml::table parse(const std::string& text, const std::string& path) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    fail(kOp, "expected TOML at {}:{}; {}", path, error.source().begin.line, error.description());
  }
}

}  // namespace

train::Study read_study(const std::string& path) {
  const std::string text = read_file(path);
  const toml::table root = parse(text, path);
  const Table file(root, path);
  file.check_keys({"name", "seeds", "baseline", "report", "choosing", "shots", "base", "dataset", "method"});
  train::Study study{.name = file.get<std::string>("name", "a text", std::filesystem::path(path).stem().string()),
                     .text = text,
                     .seeds = file.seeds("seeds")};
  check(!study.name.empty() && study.name.find('/') == std::string::npos && study.name[0] != '.', kOp,
        "expected a name that a folder can have, without / and no . in front, in {}; got '{}'", path, study.name);
  study.baseline = file.get<std::string>("baseline", "a method's name", "");
  const std::string report = file.get<std::string>("report", "'last' or 'best-on-test'", "last");
  if (report != "last" && report != "best-on-test") file.find("report")->refuse("'last' or 'best-on-test'");
  study.best_on_test = report == "best-on-test";
  const Table choosing = file.table("choosing"), shots = file.table("shots");
  choosing.check_keys({"seeds", "validation"});
  study.choosing_seeds = choosing.seeds("seeds");
  study.validation = choosing.get<double>("validation", "a share", study.validation);
  shots.check_keys({"many", "few"});
  study.shots.many = shots.get<std::int64_t>("many", "a whole number", study.shots.many);
  study.shots.few = shots.get<std::int64_t>("few", "a whole number", study.shots.few);
  study.base = read_fields(file.table("base"), {}).fields;
  for (const Table& table : file.tables("dataset")) study.datasets.push_back(read_fields(table, {"name"}));
  for (const Table& table : file.tables("method")) study.methods.push_back(read_method(table));
  return study;
}

}  // namespace heft::cli
