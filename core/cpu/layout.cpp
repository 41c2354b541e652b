#include "core/cpu/layout.h"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <vector>

#include "core/cpu/cpu_backend.h"

namespace heft::onednn {
namespace {

Dims dense_strides(const Dims& dims) {
  Dims strides(dims.size(), 1);
  for (std::size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

bool is_row_major(const Desc& desc) {
  const Dims dims = dims_of(desc);
  if (!is_blocked(desc) || !inner_blocks_of(desc).empty() || padded_dims_of(desc) != dims) return false;
  const Dims strides = strides_of(desc), dense = dense_strides(dims);
  for (std::size_t i = 0; i < dims.size(); ++i)
    if (dims[i] != 1 && strides[i] != dense[i]) return false;
  return true;
}

}  // namespace

Backend& CpuLayout::owner() const { return onednn_backend(); }

bool CpuLayout::equals(const OpaqueLayout& other) const {
  const auto* layout = dynamic_cast<const CpuLayout*>(&other);
  return layout && layout->desc_ == desc_;
}

std::string CpuLayout::str() const {
  if (!is_blocked(desc_)) return "onednn";
  const Dims strides = strides_of(desc_), blocks = inner_blocks_of(desc_), axes = inner_axes_of(desc_);
  std::vector<std::size_t> order(strides.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return strides[a] > strides[b]; });
  std::string text;
  for (const std::size_t axis : order) {
    const bool split = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end();
    text += static_cast<char>((split ? 'A' : 'a') + static_cast<int>(axis));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) text += std::to_string(blocks[i]) + static_cast<char>('a' + axes[i]);
  return text;
}

Layout layout_of(const Desc& desc) {
  if (is_row_major(desc)) return {};
  static auto& mutex = *new std::mutex;
  static auto& known = *new std::vector<std::weak_ptr<const CpuLayout>>;
  static std::int64_t last_id = 0;
  const std::lock_guard lock(mutex);
  std::erase_if(known, [](const auto& layout) { return layout.expired(); });
  for (const auto& candidate : known)
    if (auto layout = candidate.lock(); layout && layout->desc() == desc) return Layout(std::move(layout));
  auto layout = std::make_shared<const CpuLayout>(desc, ++last_id);
  known.push_back(layout);
  return Layout(std::move(layout));
}

std::int64_t layout_id(const Layout& layout) {
  return layout.is_opaque() ? static_cast<const CpuLayout*>(layout.opaque())->id() : 0;
}

Dims dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }
Shape shape_of(const Desc& desc) {
  const Dims dims = dims_of(desc);
  return Shape(std::span<const std::int64_t>(dims));
}
Desc row_major(const Dims& dims) { return {dims, dnnl::memory::data_type::f32, dense_strides(dims)}; }
Desc in_format(const Shape& shape, dnnl::memory::format_tag format) {
  return {dims_of(shape), dnnl::memory::data_type::f32, format};
}
Layout channels_in_blocks(const Shape& shape, std::int64_t block) {
  using Tag = dnnl::memory::format_tag;
  return layout_of(in_format(shape, block == 16 ? Tag::aBcd16b : Tag::aBcd8b));
}
Desc any_format(const Dims& dims) { return {dims, dnnl::memory::data_type::f32, dnnl::memory::format_tag::any}; }
Desc desc_of(const Tensor& x) { return x.is_opaque() ? desc_of(x.layout()) : row_major(dims_of(x.shape())); }

}  // namespace heft::onednn
