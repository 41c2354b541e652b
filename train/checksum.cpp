#include "train/checksum.h"

#include <fmt/format.h>
#include <zlib.h>

#include "train/safetensors.h"

namespace heft::train::checksum {
namespace {

constexpr std::size_t kDigits = 8;

std::uint32_t continued(std::uint32_t crc, const void* bytes, std::size_t count) {
  if (count == 0) return crc;
  return static_cast<std::uint32_t>(::crc32_z(crc, static_cast<const Bytef*>(bytes), count));
}

}  // namespace

std::uint32_t of(const void* bytes, std::size_t count) { return continued(0, bytes, count); }

std::uint32_t of_header(const std::string& header) {
  const std::uint64_t length = header.size();
  return continued(of(&length, sizeof length), header.data(), header.size());
}

std::string digits(const std::vector<std::uint32_t>& sums) {
  std::string text;
  for (const std::uint32_t sum : sums) text += fmt::format("{}{:08x}", text.empty() ? "" : " ", sum);
  return text;
}

std::vector<std::uint32_t> read_digits(const std::string& text) {
  std::vector<std::uint32_t> sums;
  for (std::size_t at = 0; at + kDigits <= text.size(); at += kDigits + 1) {
    std::uint32_t& sum = sums.emplace_back();
    for (std::size_t i = at; i < at + kDigits; ++i) {
      const char c = text[i];
      const bool is_letter = c >= 'a' && c <= 'f';
      if (!is_letter && (c < '0' || c > '9')) return {};
      sum = sum << 4 | static_cast<std::uint32_t>(is_letter ? c - 'a' + 10 : c - '0');
    }
  }
  return digits(sums) == text ? sums : std::vector<std::uint32_t>{};
}

std::string no_digits(std::size_t tensors) { return digits(std::vector<std::uint32_t>(tensors + 1)); }

std::optional<std::size_t> find(const std::string& header, std::size_t size) {
  // Within a text quotes are escaped, and a tensor's entry is no text: this is the one place.
  const std::string key = fmt::format("\"{}\":\"", kChecksum);
  const std::size_t at = header.find(key);
  if (at == std::string::npos || header.size() - at - key.size() <= size || header[at + key.size() + size] != '"') return {};
  return at + key.size();
}

}  // namespace heft::train::checksum
