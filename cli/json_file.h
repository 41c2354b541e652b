// JSON files of a run or a study, read with suspicion: every error names the file and the line.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace heft::cli {

using Json = nlohmann::ordered_json;

struct Place {
  std::string path;
  std::size_t line = 1;
};
std::string str(const Place& place);  // "runs/a/steps.jsonl:12"

enum class Kind { number, count, text, flag, object, numbers, gappy_numbers, counts, texts, flags, objects, matrix };
struct Field {
  const char* name;
  Kind kind;
  bool needed = true;  // otherwise it may be missing or null
};

// All functions throw DataError.

// The text of a regular file of at most 256 MB.
std::string read_file(const std::string& path);
// `text` begins at `place`.
Json parse_object(const std::string& text, Place place);
// Those fields of `object` and no others, checked; null where one that is not needed is missing. Numbers have 6 digits.
Json pick(const Json& object, const std::vector<Field>& fields, const Place& place);
Json read_object(const std::string& path, const std::vector<Field>& fields);
// An object a line. All lines are checked; of more than `most`, evenly spaced ones are kept, the last among them.
struct Line {
  Json json;
  Place place;
};
std::vector<Line> read_lines(const std::string& path, const std::vector<Field>& fields, std::size_t most);

// Throws unless `array` has `size` entries.
void check_size(const Json& array, std::size_t size, const std::string& name, const Place& place);

}  // namespace heft::cli
