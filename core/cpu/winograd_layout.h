// Tensors as the Winograd loops see them. Internal to core/cpu/winograd*.cpp.
#pragma once

#include "core/cpu/cpu_backend.h"
#include "core/cpu/layout.h"
#include "core/cpu/winograd_tile.h"
#include "core/tensor.h"

namespace heft::winograd {

// A block of channels fills a vector.
inline Layout blocked(const Shape& shape) { return onednn::channels_in_blocks(shape, simd::width()); }
inline Tensor in_blocks(const Tensor& x) { return onednn_backend().to_layout(x, blocked(x.shape())); }
inline Images images_of(const Tensor& x) {
  return {static_cast<const float*>(x.raw()), x.size(1) / simd::width(), x.size(2), x.size(3)};
}
inline Grid grid_of(const Shape& y) { return {(y[2] + kResults - 1) / kResults, (y[3] + kResults - 1) / kResults, y[0]}; }

// From one position to the next in a buffer of `channels` of all tiles that are worked on together. Not a multiple of 4 KiB,
// which would put all positions into the same sets of the L1 cache.
HEFT_SIMD std::int64_t step_of(std::int64_t channels) { return channels * kTogether + 16; }

// At least so many floats to work in, until the thread's next call. They stay with the thread, and in use, while it lives:
// blocks that threads exchange come out of another core's caches each time, a tenth of ResNet-20's step where two cores share
// none.
inline float* scratch(std::int64_t floats) {
  thread_local Tensor space;
  if (!space.defined() || space.numel() < floats) {
    space = {};  // first, so that never two are held
    space = Tensor::empty(Shape{floats});
  }
  return static_cast<float*>(space.mutable_raw());
}

}  // namespace heft::winograd
