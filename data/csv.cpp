#include "data/csv.h"

#include "core/check.h"

namespace heft::data {

namespace {
constexpr std::size_t kMostFields = 1024;  // an empty one takes a byte of text and 32 of memory
}

void parse_csv(const char* op, std::string_view text, const std::string& name,
               const std::function<void(std::size_t line, const std::vector<std::string>& fields)>& row) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<std::string> fields(1);
  std::size_t line = 1, begin = 1;
  bool quoted = false;  // the last of `fields` was
  const auto end_record = [&] {
    if (fields.size() > 1 || !fields[0].empty() || quoted) row(begin, fields);
    fields.assign(1, {});
    quoted = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    check<DataError>(c != '\0', op, "expected text; {}:{} has a zero byte", name, line);
    if (c == '"') {
      check<DataError>(fields.back().empty() && !quoted, op,
                       "expected quotation marks around a whole field; {}:{} has one in the middle", name, line);
      quoted = true;
      const std::size_t opened = line;
      for (++i;; ++i) {
        check<DataError>(i < text.size(), op, "expected a closing quotation mark; {}:{} opens one and none follows", name,
                         opened);
        if (text[i] == '"' && (i + 1 == text.size() || text[i + 1] != '"')) break;
        if (text[i] == '"') ++i;
        check<DataError>(text[i] != '\0', op, "expected text; {}:{} has a zero byte", name, line);
        if (text[i] == '\n') ++line;
        fields.back() += text[i];
      }
    } else if (c == ',') {
      check<DataError>(fields.size() < kMostFields, op, "expected at most {} fields; {}:{} has more", kMostFields, name, line);
      fields.emplace_back();
      quoted = false;
    } else if (c == '\n' || (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n')) {
      if (c == '\r') ++i;
      end_record();
      begin = ++line;
    } else {
      check<DataError>(!quoted, op, "expected a comma or the end of the line after a quotation mark; {}:{} has '{}'", name,
                       line, c);
      fields.back() += c;
    }
  }
  end_record();
}

}  // namespace heft::data
