// What this interpreter keeps in a CUtensorMap: a tensor of 4-byte values in rows, and the box of it that a bulk copy takes.
#pragma once

#include <array>

#include "tests/ptx/machine.h"

namespace ptx {

struct TensorMap {
  u64 data;
  u32 rank;
  bool round_to_tf32;
  std::array<u32, 4> extents, box;  // 1 beyond the rank
  std::array<u64, 4> strides;       // bytes
};
static_assert(sizeof(TensorMap) <= 128);

}  // namespace ptx
