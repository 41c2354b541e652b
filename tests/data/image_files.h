// Image files for tests: PNG written here, through zlib; JPEG from tests/golden/images.json.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/data/temporary_directory.h"

namespace heft::test {

inline std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<std::uint32_t>(data.size())) + body + big_endian(static_cast<std::uint32_t>(sum));
}

inline std::string png_header(std::uint32_t width, std::uint32_t height, int bits, int color) {
  std::string data = big_endian(width) + big_endian(height);
  for (const int value : {bits, color, 0, 0, 0}) data.push_back(static_cast<char>(value));
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", data);
}

inline std::string zlib_bytes(const std::string& data) {
  uLongf size = compressBound(static_cast<uLong>(data.size()));
  std::string out(size, '\0');
  if (compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
               static_cast<uLong>(data.size())) != Z_OK)
    throw std::runtime_error("zlib");
  out.resize(size);
  return out;
}

// `samples`: height rows of width pixels of 1 to 4 channels, `bits` / 8 bytes each. `between`: chunks before the pixels.
inline std::string png_bytes(std::uint32_t width, std::uint32_t height, int channels, const std::string& samples, int bits = 8,
                             const std::string& between = "") {
  constexpr int kColors[] = {0, 4, 2, 6};
  const std::size_t row = samples.size() / height;
  std::string lines;
  for (std::uint32_t y = 0; y < height; ++y) lines += '\0' + samples.substr(y * row, row);
  return png_header(width, height, bits, kColors[channels - 1]) + between + png_chunk("IDAT", zlib_bytes(lines)) +
         png_chunk("IEND", "");
}

// One colour; as many channels as values.
inline std::string plain_png(std::uint32_t width, std::uint32_t height, const std::vector<int>& color) {
  std::string samples;
  for (std::uint32_t i = 0; i < width * height; ++i)
    for (const int value : color) samples.push_back(static_cast<char>(value));
  return png_bytes(width, height, static_cast<int>(color.size()), samples);
}

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

inline const nlohmann::json& golden_images() {
  static const nlohmann::json golden = [] {
    std::ifstream file("tests/golden/images.json");
    return nlohmann::json::parse(file);
  }();
  return golden;
}

// The bytes of one of its files.
inline std::string golden_image(const std::string& name) {
  return from_hex(golden_images()["files"].at(name).at("file").get<std::string>());
}

}  // namespace heft::test
