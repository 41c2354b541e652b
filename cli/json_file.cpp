#include "cli/json_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/check.h"
#include "train/record_json.h"

namespace heft::cli {
namespace {

constexpr const char* kOp = "json";
constexpr std::uintmax_t kMostBytes = 256u << 20;

bool is_count(const Json& x) { return x.is_number_integer() && x >= 0; }
bool is_number(const Json& x) { return x.is_number(); }
bool is_text(const Json& x) { return x.is_string(); }
bool is_object(const Json& x) { return x.is_object(); }
bool is_flag(const Json& x) { return x.is_boolean(); }
bool is_gappy_number(const Json& x) { return x.is_number() || x.is_null(); }
bool is_counts(const Json& x) { return x.is_array() && std::all_of(x.begin(), x.end(), is_count); }

struct KindRule {
  const char* wanted;
  bool array;
  bool (*good)(const Json&);  // of the value, or of each entry of the array
};

KindRule rule(Kind kind) {
  switch (kind) {
    case Kind::number: return {"a number", false, is_number};
    case Kind::count: return {"an integer of at least 0", false, is_count};
    case Kind::text: return {"a text", false, is_text};
    case Kind::flag: return {"true or false", false, is_flag};
    case Kind::object: return {"an object", false, is_object};
    case Kind::numbers: return {"an array of numbers", true, is_number};
    case Kind::gappy_numbers: return {"an array of numbers and nulls", true, is_gappy_number};
    case Kind::counts: return {"an array of integers of at least 0", true, is_count};
    case Kind::texts: return {"an array of texts", true, is_text};
    case Kind::flags: return {"an array of true and false", true, is_flag};
    case Kind::objects: return {"an array of objects", true, is_object};
    case Kind::matrix: return {"an array of arrays of integers of at least 0", true, is_counts};
  }
  return {};
}

// What of a value its reader should see in an error.
std::string excerpt(const Json& value) {
  std::string text = train::record::text(value);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

void check_kind(const Json& value, const Field& field, const Place& place) {
  const KindRule r = rule(field.kind);
  const auto complain = [&](const Json& got, const std::string& of) {
    fail<DataError>(kOp, "expected {} to be {} in {}; got {}{}", field.name, r.wanted, str(place), excerpt(got), of);
  };
  if (!r.array) {
    if (!r.good(value)) complain(value, "");
    return;
  }
  if (!value.is_array()) complain(value, "");
  for (std::size_t i = 0; i < value.size(); ++i)
    if (!r.good(value[i])) complain(value[i], fmt::format(" as entry {}", i));
}

Json shortened(const Json& value) {
  if (value.is_number_float()) return train::record::short_number(value.get<double>());
  if (!value.is_array()) return value;
  Json array = Json::array();
  for (const Json& entry : value) array.push_back(shortened(entry));
  return array;
}

}  // namespace

std::string str(const Place& place) { return fmt::format("{}:{}", place.path, place.line); }

std::string read_file(const std::string& path) {
  std::error_code error;
  check<DataError>(std::filesystem::is_regular_file(path, error), kOp, "expected a file {}; there is none", path);
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  check<DataError>(!error && size <= kMostBytes, kOp, "expected at most {} MB in {}; got {} MB", kMostBytes >> 20, path,
                   size >> 20);
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  file.read(text.data(), static_cast<std::streamsize>(size));
  check<DataError>(file.good(), kOp, "expected to read {} bytes of {}; got {}", size, path, file.gcount());
  return text;
}

Json parse_object(const std::string& text, Place place) {
  try {
    Json json = Json::parse(text);
    check<DataError>(json.is_object(), kOp, "expected a JSON object in {}; got {}", str(place), excerpt(json));
    return json;
  } catch (const nlohmann::json::parse_error& error) {
    const std::size_t before = std::min(error.byte > 0 ? error.byte - 1 : 0, text.size());
    const auto begin = text.begin(), at = begin + static_cast<std::ptrdiff_t>(before);
    place.line += static_cast<std::size_t>(std::count(begin, at, '\n'));
    const std::size_t newline = before == 0 ? std::string::npos : text.rfind('\n', before - 1);
    const std::size_t column = newline == std::string::npos ? before + 1 : before - newline;
    const std::string why = error.what();
    fail<DataError>(kOp, "expected JSON in {}; got, at column {}, a {}", str(place), column,
                    why.substr(std::min(why.size(), why.find(": ") + 2)));
  } catch (const nlohmann::json::exception& error) {  // a number beyond the range of a double
    fail<DataError>(kOp, "expected JSON in {}; got: {}", str(place), error.what());
  }
}

Json pick(const Json& object, const std::vector<Field>& fields, const Place& place) {
  Json picked;
  for (const Field& field : fields) {
    const auto found = object.find(field.name);
    const bool there = found != object.end() && !found->is_null();
    check<DataError>(there || !field.needed, kOp, "expected {} to be {} in {}; got {}", field.name, rule(field.kind).wanted,
                     str(place), found == object.end() ? "nothing of that name" : "null");
    if (there) check_kind(*found, field, place);
    picked[field.name] = there ? shortened(*found) : Json(nullptr);
  }
  return picked;
}

Json read_object(const std::string& path, const std::vector<Field>& fields) {
  return pick(parse_object(read_file(path), {path}), fields, {path});
}

std::vector<Line> read_lines(const std::string& path, const std::vector<Field>& fields, std::size_t most) {
  const std::string text = read_file(path);
  check<DataError>(text.empty() || text.back() == '\n', kOp, "expected {} to end with a whole line; line {} has no end", path,
                   std::count(text.begin(), text.end(), '\n') + 1);
  const auto count = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  const std::size_t kept = std::min(count, most);
  std::vector<Line> lines;
  std::size_t begin = 0;
  for (std::size_t line = 1; line <= count; ++line) {
    const std::size_t end = text.find('\n', begin);
    const Place place{path, line};
    Json json = pick(parse_object(text.substr(begin, end - begin), place), fields, place);
    if ((lines.size() + 1) * count / kept == line) lines.push_back({std::move(json), place});
    begin = end + 1;
  }
  return lines;
}

void check_size(const Json& array, std::size_t size, const std::string& name, const Place& place) {
  check<DataError>(array.size() == size, kOp, "expected {} entries of {} in {}; got {}", size, name, str(place), array.size());
}

}  // namespace heft::cli
