// Numbers in texts, all of a text or nothing. Internal to train/ and cli/.
#pragma once

#include <charconv>
#include <string_view>
#include <vector>

namespace heft::train {

template <class T>
bool read_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

// Numbers with commas between them, each by read(part, number), which is given empty parts too; whether all could be read.
template <class T, class Read>
bool read_numbers(std::string_view text, std::vector<T>& numbers, const Read& read) {
  while (true) {
    const std::size_t comma = text.find(',');
    if (!read(text.substr(0, comma), numbers.emplace_back())) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace heft::train
