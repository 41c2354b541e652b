// A height and a width in options: `.kernel = 3` or `.kernel = {3, 5}`.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace heft {

struct Extent2d {
  std::int64_t height;
  std::int64_t width;
  constexpr Extent2d(std::int64_t both) : height(both), width(both) {}  // NOLINT(google-explicit-constructor)
  constexpr Extent2d(std::int64_t height, std::int64_t width) : height(height), width(width) {}

  constexpr bool at_least(std::int64_t least) const { return height >= least && width >= least; }
  constexpr std::array<std::int64_t, 2> array() const { return {height, width}; }
  // "3x5".
  std::string str() const { return std::to_string(height) + "x" + std::to_string(width); }
  friend constexpr bool operator==(Extent2d, Extent2d) = default;
};

}  // namespace heft
