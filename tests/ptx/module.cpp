#include "tests/ptx/module.h"

#include <cctype>
#include <cstdlib>
#include <cstring>

#include "tests/ptx/memory.h"
#include "tests/ptx/options.h"

namespace ptx {
namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// Reads a module from its beginning to its end.
class Reader {
 public:
  Reader(Module& module) : module_(module), text_(module.text) {}

  void read() {
    while (skip_space(), at_ < text_.size()) {
      const std::string_view line = text_.substr(at_, text_.find('\n', at_) - at_);
      const std::string_view statement = text_.substr(at_, text_.find_first_of(";{", at_) - at_);
      if (line.starts_with(".file")) read_file(line), at_ += line.size();
      else if (line.starts_with(".section")) at_ = text_.find('}', at_) + 1;
      else if (statement.find(".entry ") != std::string_view::npos || statement.find(".func ") != std::string_view::npos)
        read_function(statement);
      else if (line.starts_with(".version") || line.starts_with(".target") || line.starts_with(".address_size") ||
               line.starts_with(".loc"))
        at_ += line.size();
      else read_variable(text_.substr(at_, text_.find(';', at_) - at_));
    }
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (is_space(text_[at_]) || text_[at_] == ';')) ++at_;
  }

  void read_file(std::string_view line) {  // .file 1 "path"
    const auto number = static_cast<std::size_t>(std::atoi(std::string(line.substr(5)).c_str()));
    if (module_.files.size() <= number) module_.files.resize(number + 1);
    std::string_view path = line.substr(line.find('"') + 1);
    path = path.substr(0, path.find('"'));
    module_.files[number] = path.substr(path.rfind('/') + 1);
  }

  // [.visible] .entry name(parameters) directives { body }, .func (results) name(parameters) { body }; or ; where it is
  // announced.
  void read_function(std::string_view head) {
    at_ += head.size();
    const bool entry = head.find(".entry ") != std::string_view::npos;
    std::string_view rest = trim(head.substr(head.find(entry ? ".entry " : ".func ") + 6));
    Function function;
    const auto in_parentheses = [&] {
      const std::size_t open = rest.find('('), close = rest.find(')', open);
      const std::string_view inside = rest.substr(open + 1, close - open - 1);
      rest = trim(rest.substr(close + 1));
      return split_list(inside);
    };
    if (rest.starts_with('(')) function.results = in_parentheses();
    std::size_t n = 0;
    while (n < rest.size() && in_identifier(rest[n])) ++n;
    const std::string name(rest.substr(0, n));
    rest = trim(rest.substr(n));
    if (rest.starts_with('(')) function.parameters = in_parentheses();
    if (const std::size_t limit = rest.find(".maxntid"); limit != std::string_view::npos)
      function.most_threads = std::atoi(std::string(rest.substr(limit + 8)).c_str());
    if (text_[at_] == ';') return;
    const std::size_t begin = ++at_;
    for (int depth = 1; depth > 0; ++at_) depth += text_[at_] == '{' ? 1 : text_[at_] == '}' ? -1 : 0;
    function.body = text_.substr(begin, at_ - 1 - begin);
    module_.functions[name] = function;
  }

  void read_variable(std::string_view statement) {
    at_ += statement.size();
    const std::size_t equals = statement.find('=');
    const Declaration variable(statement.substr(0, equals));
    const auto is = [&](const char* what) { return statement.substr(0, equals).find(what) != std::string_view::npos; };
    if (is(".shared")) {
      if (is(".extern")) module_.dynamic_shared.insert(variable.name);
      else module_.shared.emplace(variable.name, variable);
      return;
    }
    if (!is(".global") && !is(".const")) fail("a module with something unknown in it: {:.80}", statement);
    auto* memory = static_cast<u8*>(std::aligned_alloc(256, (variable.bytes + 255) / 256 * 256));
    std::memset(memory, 0, variable.bytes);
    add_memory(memory, variable.bytes);
    module_.globals[variable.name] = reinterpret_cast<u64>(memory);
    if (equals == std::string_view::npos) return;
    std::string_view values = trim(statement.substr(equals + 1));
    if (values.starts_with('{')) values = values.substr(1, values.rfind('}') - 1);
    const auto size = static_cast<std::size_t>(size_of(variable.type));
    for (const std::string& value : split_list(values)) {
      const u64 v = std::strtoull(value.c_str(), nullptr, 0);
      std::memcpy(memory, &v, size);
      memory += size;
    }
  }

  Module& module_;
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Declaration::Declaration(std::string_view text) {
  const auto words = split_words(text);
  for (std::size_t k = 0; k < words.size(); ++k) {
    const std::string_view word = words[k];
    if (word == ".align") align = static_cast<u32>(std::atoi(std::string(words[++k]).c_str()));
    else if (word[0] == '.' && word.size() > 2 && std::isdigit(static_cast<unsigned char>(word[2]))) type = word.substr(1);
    else if (word[0] != '.') name += word;
  }
  u32 count = 1;
  if (const std::size_t bracket = name.find('['); bracket != std::string::npos) {
    count = static_cast<u32>(std::atoi(name.c_str() + bracket + 1));  // 0 for []
    name.resize(bracket);
  }
  const auto size = static_cast<u32>(size_of(type));
  bytes = count * size, align = std::max(align, size);
}

Module::Module(std::string ptx) : text(std::move(ptx)) {
  for (std::size_t at = text.find("//"); at != std::string::npos; at = text.find("//", at))  // comments
    for (; at < text.size() && text[at] != '\n'; ++at) text[at] = ' ';
  Reader(*this).read();
}

// A header of `header` bytes and then entries, of which kind 1 is PTX.
std::string ptx_of(const void* fat_binary) {
  const auto* bytes = static_cast<const char*>(fat_binary);
  const auto read = [&](auto& value, u64 at) { std::memcpy(&value, bytes + at, sizeof value); };
  u32 magic = 0;
  u16 header = 0;
  u64 size = 0;
  read(magic, 0), read(header, 6), read(size, 8);
  if (magic != 0xba55ed50u) fail("expected a fat binary of CUDA; got the magic number {:#x}", magic);
  std::string all;
  for (u64 at = header; at < header + size;) {
    u16 kind = 0;
    u32 begin = 0;
    u64 length = 0;
    read(kind, at), read(begin, at + 4), read(length, at + 8);
    if (kind == 1) {
      const std::string_view text(bytes + at + begin, strnlen(bytes + at + begin, length));
      if (text.find(".version") == std::string_view::npos) fail("expected PTX as text: nvcc must be told --no-compress");
      all.append(text).append("\n");
    }
    at += begin + length;
  }
  return all;
}

std::string_view file_name(const Module& module, int number) {
  const auto at = static_cast<std::size_t>(number);
  return at < module.files.size() && !module.files[at].empty() ? std::string_view(module.files[at]) : "?";
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t at = 0; at <= text.size(); ++at) {
    const char c = at < text.size() ? text[at] : ',';
    if (c == '{' || c == '[' || c == '(') ++depth;
    if (c == '}' || c == ']' || c == ')') --depth;
    if (c != ',' || depth > 0) continue;
    if (const std::string_view part = trim(text.substr(begin, at - begin)); !part.empty()) parts.emplace_back(part);
    begin = at + 1;
  }
  return parts;
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    while (at < text.size() && is_space(text[at])) ++at;
    const std::size_t begin = at;
    while (at < text.size() && !is_space(text[at])) ++at;
    if (at > begin) words.push_back(text.substr(begin, at - begin));
  }
  return words;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool in_identifier(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

int size_of(std::string_view type) {
  return type == "pred" || type.size() < 2 ? 1 : std::atoi(std::string(type.substr(1)).c_str()) / 8;
}

}  // namespace ptx
