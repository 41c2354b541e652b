// Text from a file that anybody may have written, for a terminal or an error: control characters become question marks.
// Internal.
#pragma once

#include <string>

namespace heft::train {

inline std::string printable(std::string text, std::size_t most = 512) {
  if (text.size() > most) text = text.substr(0, most) + "...";
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

}  // namespace heft::train
