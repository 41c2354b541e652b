// Channels-last: images (N, C, H, W) lie in memory as (N, H, W, C), a convolution's weight (O, C, kh, kw) as (O, kh, kw, C).
// Never padded, so every elementwise kernel may run flat over it. In mixed precision an image of f32 may be kept in bf16, two
// values where one would be: the dtype says what users meet, the layout what lies in memory, and a kernel that has no loop for
// bf16 converts first (as_channels_last). Internal to cuda/.
#pragma once

#include "core/tensor.h"

namespace heft::cuda {

// Of a tensor of rank 4 with this shape. Row-major where both orders are the same bytes is still told apart.
Layout channels_last(const Shape& shape);
inline Tensor empty_channels_last(const Shape& shape, DType dtype) {
  return Tensor::empty(shape, dtype, Device::cuda(), channels_last(shape));
}
// The same with f32 values kept in bf16; C is a multiple of 8, 16 bytes.
Layout channels_last_bf16(const Shape& shape);
inline Tensor empty_bf16(const Shape& shape) {
  return Tensor::empty(shape, DType::f32, Device::cuda(), channels_last_bf16(shape));
}
bool in_bf16(const Tensor& x);

// x (rank 4) in channels-last as its dtype says, copied where it is not.
Tensor as_channels_last(const Tensor& x);
// x (rank 4, f32) in bf16, likewise.
Tensor as_bf16(const Tensor& x);
// x in channels-last of either kind, as it comes.
inline Tensor as_image(const Tensor& x) { return x.is_opaque() ? x : as_channels_last(x); }
// x kept as `model` is, and an empty image that is. Row-major counts as channels-last.
inline Tensor kept_like(const Tensor& x, const Tensor& model) { return in_bf16(model) ? as_bf16(x) : as_channels_last(x); }
inline Tensor empty_kept_like(const Shape& shape, const Tensor& model) {
  return in_bf16(model) ? empty_bf16(shape) : empty_channels_last(shape, model.dtype());
}

}  // namespace heft::cuda
