// Comma-separated values (RFC 4180). Internal.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace heft::data {

// Calls row(line, fields) for each record, `line` being the one it begins on, from 1. A field may be in quotation marks: then
// it may hold commas, line ends and, doubled, quotation marks. Lines end in \n or \r\n; empty ones and a byte order mark are
// passed over. Memory: one record. Throws DataError, which carries `op`, naming the line of `name` where quotation marks do not
// match, there is a zero byte or a record has more than 1024 fields.
void parse_csv(const char* op, std::string_view text, const std::string& name,
               const std::function<void(std::size_t line, const std::vector<std::string>& fields)>& row);

}  // namespace heft::data
