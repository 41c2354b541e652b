// Differentiable matrix products.
#pragma once

#include "autograd/variable.h"

namespace heft {

// (..., M, K) x (..., K, N) -> (..., M, N); leading axes broadcast.
Variable matmul(const Variable& a, const Variable& b);
// x (..., K), weight (M, K), bias (M) or undefined -> (..., M): x weight^T + bias.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {});
// relu(linear(...)), in fewer passes over memory.
Variable linear_relu(const Variable& x, const Variable& weight, const Variable& bias = {});

}  // namespace heft
