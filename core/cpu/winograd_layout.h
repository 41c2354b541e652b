// Tensors as the Winograd loops see them. Internal to core/cpu/winograd*.cpp.
#pragma once

#include "core/cpu/primitive.h"
#include "core/cpu/winograd_tile.h"
#include "core/tensor.h"

namespace heft::winograd {

// Floats of a vector, and channels of a block.
inline std::int64_t vector_width() { return simd::isa() == simd::Isa::avx512 ? 16 : simd::isa() == simd::Isa::avx2 ? 8 : 4; }

inline Layout blocked(const Shape& shape) {
  using Tag = dnnl::memory::format_tag;
  return onednn::layout_of(
      {onednn::dims_of(shape), dnnl::memory::data_type::f32, vector_width() == 16 ? Tag::aBcd16b : Tag::aBcd8b});
}
inline Tensor in_blocks(const Tensor& x) {
  const Layout layout = blocked(x.shape());
  return x.layout() == layout ? x : onednn::reorder(x.is_opaque() ? x : x.contiguous(), layout);
}
inline Images images_of(const Tensor& x) {
  return {static_cast<const float*>(x.raw()), x.size(1) / vector_width(), x.size(2), x.size(3)};
}
inline Grid grid_of(const Shape& y) { return {(y[2] + kResults - 1) / kResults, (y[3] + kResults - 1) / kResults, y[0]}; }

// From one position to the next in a buffer of `channels` of all tiles that are worked on together. Not a multiple of 4 KiB,
// which would put all positions into the same sets of the L1 cache.
HEFT_SIMD std::int64_t step_of(std::int64_t channels) { return channels * kTogether + 16; }

}  // namespace heft::winograd
