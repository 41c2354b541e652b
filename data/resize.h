// Images in another size.
#pragma once

#include <cstdint>
#include <optional>

#include "core/tensor.h"

namespace heft::data {

// A rectangle of an image, in pixels; its edges may lie within pixels.
struct Box {
  double top = 0, left = 0, height = 0, width = 0;
};

// `image` (C, H, W), u8 or f32, brought to (C, height, width) by a triangle filter that covers, in the source, a pixel of the
// result to each side where the image shrinks, so that no pixel of the source is left out and nothing aliases; and a pixel of
// the source where it grows, which is bilinear interpolation. Edges: the filter is cut off and its weights still add up to 1.
// u8 is rounded to the nearest. This is Pillow's Image.resize with BILINEAR, within a rounding of 1 for u8. Of `box`, if given,
// alone (pixels around it that the filter reaches count, as in Pillow). Throws ShapeError, DTypeError, or ValueError for an
// empty size or a box that is not inside the image.
Tensor resize(const Tensor& image, std::int64_t height, std::int64_t width, const std::optional<Box>& box = std::nullopt);

// The largest rectangle of the shape height : width in the middle of an image. resize() of it to that size is what brings an
// image of any shape to one shape without distortion: Resize and CenterCrop in one.
Box centre_box(std::int64_t image_height, std::int64_t image_width, std::int64_t height, std::int64_t width);

// The pixels in the middle: (C, H, W) to (C, height, width), a view; where the difference is odd, there is one pixel more below
// and to the right. Throws ShapeError where the image is smaller.
Tensor centre_crop(const Tensor& image, std::int64_t height, std::int64_t width);

}  // namespace heft::data
