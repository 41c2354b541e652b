// Differentiable operations on images, (N, C, H, W).
#pragma once

#include "autograd/variable.h"
#include "core/backend.h"

namespace heft {

// weight (O, C / groups, kh, kw), bias (O) or undefined -> (N, O, H', W'),
// H' = (H + 2 padding - dilation (kh - 1) - 1) / stride + 1. Cross-correlation, as everywhere in deep learning.
// A leaf weight is moved to the layout the backend wants on its first use; its logical value does not change.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias = {}, const Conv2dGeometry& geometry = {});
// relu(conv2d(...)), in fewer passes over memory.
Variable conv2d_relu(const Variable& x, const Variable& weight, const Variable& bias = {}, const Conv2dGeometry& geometry = {});
Variable max_pool2d(const Variable& x, const Pool2dGeometry& geometry);
Variable avg_pool2d(const Variable& x, const Pool2dGeometry& geometry);  // padding counts in the mean
// (N, C, H, W) -> (N, C, height, width). The input's extents must be divisible by the output's (ShapeError otherwise).
Variable adaptive_avg_pool2d(const Variable& x, std::int64_t height, std::int64_t width);
Variable global_avg_pool2d(const Variable& x);  // -> (N, C, 1, 1)

// Every stride-th row and column of x (N, C, H, W), between channels of zeros: the shortcut of He et al. 2016, option A.
// (N, before + C + after, ceil(H / stride), ceil(W / stride)).
Variable subsample(const Variable& x, std::int64_t stride, std::int64_t before, std::int64_t after);

}  // namespace heft
