// Differentiable reductions. No axes: over everything, to rank 0. keep_axes leaves extents of 1. Negative axes count from
// the end.
#pragma once

#include <vector>

#include "autograd/variable.h"

namespace heft {

Variable sum(const Variable& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Variable mean(const Variable& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Variable max(const Variable& x, const std::vector<int>& axes = {}, bool keep_axes = false);  // ties share the gradient evenly
Variable min(const Variable& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Variable logsumexp(const Variable& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Variable softmax(const Variable& x, int axis = -1);
Variable log_softmax(const Variable& x, int axis = -1);
// Not differentiable: i64, the first of equals.
Tensor argmax(const Variable& x, int axis = -1);

}  // namespace heft
