// Small loops of our own, where calling oneDNN would be a good part of the work or there is nothing to call. Internal to
// core/cpu.
#pragma once

#include "core/backend.h"

namespace heft::small {

// y = max(0, y); a NaN stays. Dense or opaque f32.
void relu_in_place(Tensor& y);

// sums[i] += sums[size + i] + sums[2 size + i] + ..., of `groups` in all, one after the other.
void add_groups(float* sums, std::int64_t groups, std::int64_t size);

// A linear layer on so few samples (N) that reading the weight is what it costs.
inline constexpr std::int64_t kFewSamples = 4;
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu);

// Max pooling of windows of 2 x 2 that do not overlap, of row-major images so few that finding and calling a primitive takes
// longer than the work: one image of a small network. `where` holds the number of the winner within its window, as i32. A NaN
// wins, the first of several, as in the reference.
bool halves(const Tensor& x, const Pool2dGeometry& geometry);
MaxPoolResult max_pool2d(const Tensor& x);
Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Shape& x_shape);

}  // namespace heft::small
