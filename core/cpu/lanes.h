// Convolutions of few channels, and max pooling of what they leave, with 16 images side by side in the lanes of a vector.
// oneDNN puts channels there and pads them to 8 or 16, so that most of its work on 6 channels is on zeros; and its gradients
// for one input channel are plain loops on some CPUs. Here nothing is padded but the batch. Internal to core/cpu.
#pragma once

#include "core/backend.h"

namespace heft::lanes {

inline constexpr std::int64_t kLanes = 16;

// Where these functions win: channels that oneDNN would pad, one group and a window that moves by 1. Images lie in the lanes
// where the batch fills them; for a few images, and forward only, the pixels of a row do.
bool images_suit(const Shape& x, const Shape& weight, const Conv2dGeometry& geometry);
bool pixels_suit(const Shape& x, const Shape& weight, const Conv2dGeometry& geometry);

// Inputs in any layout, of f32. y and dx have the layout `inside`, with pixels in lanes y is row-major. relu: y = max(0, ...).
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry, bool relu);
Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape, const Conv2dGeometry& geometry);
// Summed over images in an order that does not depend on the number of threads. The weight's gradient is row-major.
WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Shape& weight_shape, bool want_bias,
                                       const Conv2dGeometry& geometry);

// (N, C, H, W) as ceil(N / 16) blocks of (C, H, W, 16).
Layout inside(const Shape& shape);
bool is_inside(const Tensor& x);

// x is_inside, as are the results; `where` holds the number of the element within its window that won.
MaxPoolResult max_pool2d(const Tensor& x, const Pool2dGeometry& geometry);
Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Shape& x_shape, const Pool2dGeometry& geometry);

// Images in lanes with borders of zeros around each, for a window to walk over.
struct Bordered {
  const float* data = nullptr;
  std::int64_t blocks = 0, channels = 0, height = 0, width = 0;  // borders included
  Tensor owner = {};                                             // of data
};
Bordered bordered(const Tensor& x, std::int64_t border_height, std::int64_t border_width);
// Row-major, one image a block, and with room behind the last row to read a vector that begins in it.
Bordered bordered_rows(const Tensor& x, std::int64_t border_height, std::int64_t border_width);
// Zeros in the lanes of y's last block that have no image.
void clear_spare_lanes(Tensor& y);

}  // namespace heft::lanes
