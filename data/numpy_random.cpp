#include "data/numpy_random.h"

#include <bit>
#include <limits>

#include "core/check.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "numpy_random_state";
constexpr std::uint64_t kMax = std::numeric_limits<std::uint32_t>::max();

std::uint32_t checked_seed(std::uint64_t seed) {
  check(seed <= kMax, kOp, "expected a seed in [0, 2^32), as NumPy does; got {}", seed);
  return static_cast<std::uint32_t>(seed);
}

}  // namespace

NumpyRandomState::NumpyRandomState(std::uint64_t seed) : engine_(checked_seed(seed)) {}

void NumpyRandomState::check_size(std::size_t n) {
  check(n <= kMax, kOp, "expected fewer than 2^32 items to shuffle; got {}", n);
}

std::uint32_t NumpyRandomState::interval(std::uint32_t max) {
  if (max == 0) return 0;
  const std::uint32_t mask = ~std::uint32_t{0} >> std::countl_zero(max);
  for (;;) {
    const std::uint32_t value = bits() & mask;
    if (value <= max) return value;
  }
}

}  // namespace heft::data
