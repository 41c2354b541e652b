// Fields of protocol buffers as bytes: a key (number, wire type), then the value. Internal to train/.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace heft::train {

template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return bytes;
}

inline std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}
inline std::string key(int field, int wire_type) { return varint(static_cast<std::uint64_t>(field << 3 | wire_type)); }
inline std::string field(int number, std::int64_t value) { return key(number, 0) + varint(static_cast<std::uint64_t>(value)); }
inline std::string field(int number, std::string_view bytes) {
  std::string all = key(number, 2) + varint(bytes.size());
  return all.append(bytes);
}
inline std::string field(int number, double value) {
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return key(number, 1) + little_endian(bits);
}
inline std::string field(int number, float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return key(number, 5) + little_endian(bits);
}

}  // namespace heft::train
