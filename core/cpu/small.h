// Loops of our own for work so small that calling oneDNN is a good part of it. Internal to core/cpu.
#pragma once

#include "core/tensor.h"

namespace heft::small {

// y = max(0, y); a NaN stays. Dense or opaque f32.
void relu_in_place(Tensor& y);

// A linear layer on so few samples (N) that reading the weight is what it costs.
inline constexpr std::int64_t kFewSamples = 4;
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu);

}  // namespace heft::small
