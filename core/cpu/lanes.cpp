// The layout: images in lanes, and how they get there.
#include "core/cpu/lanes.h"

#include <algorithm>
#include <cstring>

#include "core/cpu/layout.h"
#include "core/parallel.h"

namespace heft::lanes {
namespace {

onednn::Desc describe(const Shape& shape) { return onednn::in_format(shape, dnnl::memory::format_tag::Abcd16a); }

// One channel of 16 images, or of the fewer that there are, from row-major planes that are `step` floats apart.
void interleave(const float* from, std::int64_t step, std::int64_t images, std::int64_t height, std::int64_t width, float* to,
                std::int64_t to_width) {
  for (std::int64_t h = 0; h < height; ++h)
    for (std::int64_t lane = 0; lane < images; ++lane) {
      const float* row = from + lane * step + h * width;
      float* out = to + h * to_width * kLanes + lane;
      for (std::int64_t w = 0; w < width; ++w) out[w * kLanes] = row[w];
    }
}

}  // namespace

Layout inside(const Shape& shape) { return onednn::layout_of(describe(shape)); }

bool is_inside(const Tensor& x) { return x.is_opaque() && x.rank() == 4 && onednn::desc_of(x.layout()) == describe(x.shape()); }

Bordered bordered(const Tensor& x, std::int64_t border_height, std::int64_t border_width) {
  const bool there = is_inside(x);
  const Tensor source = there ? x : x.contiguous();
  const auto* from = static_cast<const float*>(source.raw());
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), blocks = (n + kLanes - 1) / kLanes;
  if (there && border_height == 0 && border_width == 0) return {from, blocks, c, h, w, source};
  const std::int64_t height = h + 2 * border_height, width = w + 2 * border_width, plane = height * width * kLanes;
  Tensor owner = Tensor::empty(Shape{blocks, c, height, width, kLanes});
  auto* to = static_cast<float*>(owner.mutable_raw());
  parallel_for(blocks * c, std::max<std::int64_t>(32768 / plane, 1), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t block = i / c, images = std::min(kLanes, n - block * kLanes);
      float* out = to + i * plane;
      const bool all = there || images == kLanes;
      if (!all || border_height > 0 || border_width > 0) std::memset(out, 0, static_cast<std::size_t>(plane) * sizeof(float));
      float* first = out + (border_height * width + border_width) * kLanes;
      if (there)
        for (std::int64_t row = 0; row < h; ++row)
          std::memcpy(first + row * width * kLanes, from + (i * h + row) * w * kLanes,
                      static_cast<std::size_t>(w * kLanes) * sizeof(float));
      else interleave(from + (block * kLanes * c + i % c) * h * w, c * h * w, images, h, w, first, width);
    }
  });
  return {to, blocks, c, height, width, std::move(owner)};
}

Bordered bordered_rows(const Tensor& x, std::int64_t border_height, std::int64_t border_width) {
  const Tensor source = x.contiguous();
  const auto* from = static_cast<const float*>(source.raw());
  const std::int64_t planes = x.size(0) * x.size(1), h = x.size(2), w = x.size(3);
  const std::int64_t height = h + 2 * border_height, width = w + 2 * border_width;
  Tensor owner = Tensor::zeros(Shape{planes * height * width + kLanes});
  auto* to = static_cast<float*>(owner.mutable_raw());
  for (std::int64_t plane = 0; plane < planes; ++plane)
    for (std::int64_t row = 0; row < h; ++row)
      std::memcpy(to + (plane * height + border_height + row) * width + border_width, from + (plane * h + row) * w,
                  static_cast<std::size_t>(w) * sizeof(float));
  return {to, x.size(0), x.size(1), height, width, std::move(owner)};
}

void clear_spare_lanes(Tensor& y) {
  const std::int64_t used = y.size(0) % kLanes;
  if (used == 0) return;
  auto* end = static_cast<float*>(y.mutable_raw()) + y.buffer_elements();
  for (float* at = end - y.numel() / y.size(0) * kLanes; at < end; at += kLanes) std::fill(at + used, at + kLanes, 0.0F);
}

}  // namespace heft::lanes
