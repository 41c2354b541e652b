// Internal to train/.
#pragma once

#include <charconv>
#include <string_view>

namespace heft::train {

template <class T>
bool read_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace heft::train
