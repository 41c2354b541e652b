// Small loops of our own, where calling oneDNN would be a good part of the work or there is nothing to call. Internal to
// core/cpu.
#pragma once

#include "core/tensor.h"

namespace heft::small {

// y = max(0, y); a NaN stays. Dense or opaque f32.
void relu_in_place(Tensor& y);

// sums[i] += sums[size + i] + sums[2 size + i] + ..., of `groups` in all, one after the other.
void add_groups(float* sums, std::int64_t groups, std::int64_t size);

// A linear layer on so few samples (N) that reading the weight is what it costs.
inline constexpr std::int64_t kFewSamples = 4;
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu);

}  // namespace heft::small
