// Internal. The digits of a safetensors file's checksum entry (train/safetensors.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace heft::train::checksum {

std::uint32_t of(const void* bytes, std::size_t count);
// Of a file's first 8 bytes, the length of the header, and of the header.
std::uint32_t of_header(const std::string& header);

// "0123abcd 00000000 ...", and back; empty for a text that is not exactly that.
std::string digits(const std::vector<std::uint32_t>& sums);
std::vector<std::uint32_t> read_digits(const std::string& text);
// The digits that stand in the entry while the header's sum is taken.
std::string no_digits(std::size_t tensors);
// Where the `size` digits begin in a header's text, and are followed by a quote.
std::optional<std::size_t> find(const std::string& header, std::size_t size);

}  // namespace heft::train::checksum
