// Channels-last: images (N, C, H, W) lie in memory as (N, H, W, C), a convolution's weight (O, C, kh, kw) as (O, kh, kw, C).
// Never padded, so every elementwise kernel may run flat over it. Internal to cuda/.
#pragma once

#include "core/tensor.h"

namespace heft::cuda {

// Of a tensor of rank 4 with this shape. Row-major where both orders are the same bytes is still told apart.
Layout channels_last(const Shape& shape);
inline Tensor empty_channels_last(const Shape& shape, DType dtype) {
  return Tensor::empty(shape, dtype, Device::cuda(), channels_last(shape));
}
// x (rank 4) in channels-last, copied where it is not.
Tensor as_channels_last(const Tensor& x);

}  // namespace heft::cuda
