// Differentiable changes of shape and selections. Semantics as on Tensor (core/tensor.h) and in core/ops.h.
#pragma once

#include <vector>

#include "autograd/variable.h"

namespace heft {

Variable reshape(const Variable& x, const std::vector<std::int64_t>& extents);  // one may be -1
Variable flatten(const Variable& x, int first_axis = 1);                        // (N, ...) -> (N, rest)
Variable transpose(const Variable& x, int axis_a = -2, int axis_b = -1);
Variable permute(const Variable& x, const std::vector<int>& axes);
Variable slice(const Variable& x, int axis, std::int64_t begin, std::int64_t end, std::int64_t step = 1);
Variable concat(const std::vector<Variable>& parts, int axis);
Variable pad(const Variable& x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after,
             double value = 0);
Variable expand(const Variable& x, const Shape& shape);
Variable gather(const Variable& x, int axis, const Tensor& index);
Variable index_select(const Variable& x, int axis, const Tensor& index);
// Rows of table (V, D) by i64 index of any shape S -> (S, D).
Variable embedding(const Variable& table, const Tensor& index);

}  // namespace heft
