// Sums and products of sizes that come from files: nothing where the result does not fit 64 bits. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

namespace heft {

constexpr std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
  if (a > std::numeric_limits<std::uint64_t>::max() - b) return std::nullopt;
  return a + b;
}

constexpr std::optional<std::uint64_t> checked_mul(std::uint64_t a, std::uint64_t b) {
  if (b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b) return std::nullopt;
  return a * b;
}

// Bytes of a tensor of these non-negative extents, or nothing where they are 2^63 or more. An axis of none makes them 0 but
// does not hide the others, whose products are strides.
template <class Extents>
constexpr std::optional<std::uint64_t> checked_bytes(const Extents& extents, std::size_t element) {
  std::optional<std::uint64_t> reach = element;
  bool is_empty = false;
  for (const auto extent : extents) {
    if (extent == 0) is_empty = true;
    else if (reach) reach = checked_mul(*reach, static_cast<std::uint64_t>(extent));
  }
  if (!reach || *reach > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
  return is_empty ? 0 : *reach;
}

}  // namespace heft
