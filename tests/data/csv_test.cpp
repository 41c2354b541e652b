#include "data/csv.h"

#include <utility>

#include "core/error.h"
#include "tests/catch_compat.h"

using heft::DataError;
using heft::test::contains;
using heft::test::message_of;
using Rows = std::vector<std::pair<std::size_t, std::vector<std::string>>>;

namespace {

Rows rows(const std::string& text) {
  Rows out;
  heft::data::parse_csv("list", text, "a.csv",
                        [&](std::size_t line, const std::vector<std::string>& fields) { out.emplace_back(line, fields); });
  return out;
}
std::string refusal(const std::string& text) {
  return message_of<DataError>([&] { rows(text); });
}

}  // namespace

TEST_CASE("csv: fields, lines of both kinds, an end without one", "[data][csv]") {
  CHECK(rows("a,b\nc,d\r\n\ne,,f") == Rows{{1, {"a", "b"}}, {2, {"c", "d"}}, {4, {"e", "", "f"}}});
  CHECK(rows("\xef\xbb\xbfpath,label\n") == Rows{{1, {"path", "label"}}});
  CHECK(rows("").empty());
  CHECK(rows("\n\r\n\n").empty());
  CHECK(rows("a b , c\rd\n") == Rows{{1, {"a b ", " c\rd"}}});
  CHECK(rows(",\n") == Rows{{1, {"", ""}}});
}

TEST_CASE("csv: quotation marks", "[data][csv]") {
  CHECK(rows("\"a,b\",\"say \"\"so\"\"\"\n\"two\nlines\",x\nlast,\"\"") ==
        Rows{{1, {"a,b", "say \"so\""}}, {2, {"two\nlines", "x"}}, {4, {"last", ""}}});
  CHECK(rows("\"\"\n") == Rows{{1, {""}}});
}

TEST_CASE("csv: what does not match is named with its line", "[data][csv]") {
  CHECK(refusal("a,b\nc,\"d\n\n") == "[list] expected a closing quotation mark; a.csv:2 opens one and none follows");
  CHECK(contains(refusal("a,b\"c\n"), "a.csv:1 has one in the middle"));
  CHECK(contains(refusal("\"a\"b\n"), "after a quotation mark; a.csv:1 has 'b'"));
  CHECK(contains(refusal("\"a\"\"b\"\"\n"), "a.csv:1 opens one"));
  CHECK(contains(refusal("\"a\" \"b\"\n"), "a.csv:1 has ' '"));
  CHECK(rows(std::string(1023, ',')).size() == 1);
  CHECK(refusal("a\n" + std::string(1024, ',')) == "[list] expected at most 1024 fields; a.csv:2 has more");
  CHECK(contains(refusal(std::string("a\nb\0", 4)), "a.csv:2 has a zero byte"));
  CHECK(contains(refusal(std::string("\"b\0\"", 4)), "a.csv:1 has a zero byte"));
}
