// From one element type to another, on every device. Internal.
#pragma once

#include <limits>
#include <type_traits>

#include "core/functors.h"

namespace heft {

// Out-of-range floats saturate, NaN becomes 0: the plain conversion would be undefined.
template <class From, class To>
HEFT_HD To convert(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr From low = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From high = static_cast<From>(std::numeric_limits<To>::max());
    if (value != value) return To(0);
    return value <= low    ? std::numeric_limits<To>::min()
           : value >= high ? std::numeric_limits<To>::max()
                           : static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace heft
