// A oneDNN format as the layout of a tensor. Internal to core/cpu.
#pragma once

#include <memory>

#include "core/cpu/onednn.h"
#include "core/tensor.h"

namespace heft::onednn {

// One object per format: equal formats that live at the same time are the same CpuLayout, so that `id` can stand for the
// format in a cache key. Ids are never used again.
class CpuLayout final : public OpaqueLayout {
 public:
  CpuLayout(const Desc& desc, std::int64_t id) : desc_(desc), id_(id) {}

  Backend& owner() const override;
  bool equals(const OpaqueLayout& other) const override;
  std::size_t buffer_elements() const override { return desc_.get_size() / sizeof(float); }
  // oneDNN's notation: axes from the slowest, capitals where blocked, then the blocks. "aBcd16b", "acdb".
  std::string str() const override;

  const Desc& desc() const { return desc_; }
  std::int64_t id() const { return id_; }

 private:
  Desc desc_;
  std::int64_t id_;
};

// The format as a layout: row-major where the bytes are those of a dense row-major tensor.
Layout layout_of(const Desc& desc);
// 0 for row-major.
std::int64_t layout_id(const Layout& layout);
inline const Desc& desc_of(const Layout& layout) { return static_cast<const CpuLayout*>(layout.opaque())->desc(); }

Dims dims_of(const Shape& shape);
Shape shape_of(const Desc& desc);
// Dense row-major f32.
Desc row_major(const Dims& dims);
// f32 in a format that has a name.
Desc in_format(const Shape& shape, dnnl::memory::format_tag format);
// (N, C, H, W) with 8 or 16 channels side by side, aBcd8b or aBcd16b.
Layout channels_in_blocks(const Shape& shape, std::int64_t block);
// What oneDNN may choose the format of.
Desc any_format(const Dims& dims);
// x as it lies in memory; x is dense when not opaque.
Desc desc_of(const Tensor& x);

}  // namespace heft::onednn
