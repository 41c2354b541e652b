// 3 x 3 convolutions by Winograd's minimal filtering F(4 x 4, 3 x 3): 36 products in place of 144 for 16 results, after linear
// transformations of image tiles (6 x 6), filters and results (Lavin & Gray 2016). The interpolation points are 0, +-3/4, +-3/2
// and infinity: their coefficients are exact in binary, and results err about twice as much as a direct sum's, where the
// usual points (0, +-1, +-2) err five times as much (docs/performance.md). A NaN or an infinity spoils all results of the tiles
// that read it. Internal to core/cpu.
#pragma once

#include "core/backend.h"

namespace heft::winograd {

// Where these win: f32 3 x 3 windows that move by 1, channels that fill vectors, and enough tiles.
bool suits(const Shape& x, const Shape& weight, const Conv2dGeometry& geometry);

// What becomes of a result y as it is written: relu((y - mean) scale + shift + residual), as far as there is one.
struct Epilogue {
  const float *mean = nullptr, *scale = nullptr, *shift = nullptr;  // (O) each
  Tensor residual = {};                                             // of y's shape
  bool relu = false;
};

// Inputs in any layout. y and dx have channels blocked by the vector's width, as oneDNN has them.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Conv2dGeometry& geometry, const Epilogue& epilogue);
Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape, const Conv2dGeometry& geometry);
// Summed over tiles in an order that does not depend on the number of threads. The weight's gradient is row-major.
WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Shape& weight_shape, bool want_bias,
                                       const Conv2dGeometry& geometry);

}  // namespace heft::winograd
