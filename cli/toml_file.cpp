#include "cli/toml_file.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include "core/check.h"
#include "train/nearest_name.h"

namespace heft::cli {
namespace {

constexpr std::size_t kMostBytes = 1u << 18;  // a parsed value takes 40 times its text and more
constexpr int kMostDots = 16;

// Each part of a key a.b.c is a table in a table, and a call on the stack when they go: half a million of them end the program.
// What is between dots is looked at roughly, so that a text of many dots counts as a key.
void check_dots(const char* op, const std::string& text, const std::string& path) {
  int dots = 0, line = 1;
  for (const char c : text) {
    if (c == '.') ++dots;
    if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos) dots = 0;
    if (c == '\n') ++line;
    check(dots <= kMostDots, op, "expected at most {} dots in a key or text; {}:{} has more", kMostDots, path, line);
  }
}

train::FieldValue value_of(const TomlNode& node) {
  if (const auto* value = node.toml.as_boolean()) return value->get();
  if (const auto* value = node.toml.as_integer()) return value->get();
  if (const auto* value = node.toml.as_floating_point()) return value->get();
  if (const auto* value = node.toml.as_string()) return value->get();
  node.refuse("true or false, a number or a text");
}

}  // namespace

std::string read_toml_text(const char* op, const char* what, const std::string& path) {
  check<DataError>(std::filesystem::exists(path), op, "expected {}; there is no {}", what, path);
  check<DataError>(std::filesystem::is_regular_file(path), op, "expected {}; {} is no file", what, path);
  std::ifstream file(path, std::ios::binary);
  check<DataError>(file.good(), op, "expected to read {}; it cannot be opened", path);
  // By what is read, not by what the system says of its size.
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  check<DataError>(text.size() <= kMostBytes, op, "expected {} of at most {} bytes; {} has more", what, kMostBytes, path);
  return text;
}

toml::table parse_toml(const char* op, const std::string& text, const std::string& path) {
  check_dots(op, text, path);
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    fail(op, "expected TOML at {}:{}; {}", path, error.source().begin.line, error.description());
  }
}

void TomlNode::refuse(const char* expected) const {
  std::ostringstream text;
  toml.visit([&text](const auto& value) { text << value; });
  fail(file.op, "expected {} for {} at {}; got {}", expected, key, where(), text.str());
}

train::RecipeField TomlNode::field() const {
  train::Recipe scratch;
  train::RecipeField field{key, value_of(*this), where()};
  set_field(scratch, field);
  return field;
}

const toml::array& TomlNode::values(const char* expected) const {
  if (!toml.is_array() || toml.as_array()->empty()) refuse(expected);
  return *toml.as_array();
}

std::optional<TomlNode> TomlTable::find(const char* key) const {
  const toml::node* node = toml_.get(key);
  if (node == nullptr) return {};
  return TomlNode{*node, key, file_};
}

void TomlTable::check_keys(const std::vector<std::string>& known) const {
  for (const auto& entry : toml_) {
    const std::string key(entry.first.str());
    if (std::find(known.begin(), known.end(), key) == known.end())
      fail(file_.op, "expected one of {} at {}, perhaps {}; got '{}'", fmt::join(known, ", "),
           TomlNode{entry.second, key, file_}.where(), train::nearest_name(key, known), key);
  }
}

std::vector<std::uint64_t> TomlTable::seeds(const char* key) const {
  constexpr const char* expected = "whole numbers from 0 on, as in [0, 1, 2],";
  std::vector<std::uint64_t> seeds;
  const std::optional<TomlNode> node = find(key);
  if (!node) return seeds;
  for (const toml::node& seed : node->values(expected)) {
    const auto* number = seed.as_integer();
    if (number == nullptr || number->get() < 0) TomlNode{seed, key, file_}.refuse(expected);
    seeds.push_back(static_cast<std::uint64_t>(number->get()));
  }
  return seeds;
}

std::vector<std::string> TomlTable::names(const char* key) const {
  constexpr const char* expected = "names, as in [\"a\", \"b\"],";
  std::vector<std::string> names;
  const std::optional<TomlNode> node = find(key);
  if (!node) return names;
  for (const toml::node& name : node->values(expected)) {
    if (!name.is_string()) TomlNode{name, key, file_}.refuse(expected);
    names.push_back(name.as_string()->get());
  }
  return names;
}

TomlTable TomlTable::table(const char* key) const {
  static const toml::table none;
  const std::optional<TomlNode> node = find(key);
  if (!node) return {none, file_};
  if (!node->toml.is_table()) node->refuse("a table");
  return {*node->toml.as_table(), file_};
}

std::vector<TomlTable> TomlTable::tables(const char* key) const {
  constexpr const char* expected = "tables, each under [[...]],";
  std::vector<TomlTable> all;
  const std::optional<TomlNode> node = find(key);
  if (!node) return all;
  for (const toml::node& one : node->values(expected)) {
    if (!one.is_table()) TomlNode{one, key, file_}.refuse(expected);
    all.emplace_back(*one.as_table(), file_);
    check(!all.back().name().empty(), file_.op, "expected a name in the [[{}]] at {}; there is none", key, all.back().where());
  }
  return all;
}

}  // namespace heft::cli
