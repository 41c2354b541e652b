// Differentiable normalisations, and dropout.
#pragma once

#include "autograd/variable.h"
#include "core/backend.h"
#include "core/random.h"

namespace heft {

// x (N, C, H, W) or (N, C); gamma, beta (C). Training: normalises with the batch's mean and biased variance and updates
// the running statistics in place, running = (1 - momentum) running + momentum batch, with the unbiased variance (Ioffe
// and Szegedy 2015; PyTorch's conventions). Evaluation: normalises with the running statistics.
// Under NoGrad training mode still updates the statistics.
Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, Tensor& running_mean,
                    Tensor& running_variance, bool training, double momentum = 0.1, double eps = 1e-5);

// relu(batch_norm(x) + residual) with batch_norm as above; the residual has x's shape, or is left out. When training on images
// it is one operation, with one pass over memory where the device can; otherwise, and for an OperationObserver, those it
// consists of.
Variable batch_norm_relu(const Variable& x, const Variable& gamma, const Variable& beta, Tensor& running_mean,
                         Tensor& running_variance, bool training, const Variable& residual = {}, double momentum = 0.1,
                         double eps = 1e-5);

// relu(batch_norm(conv2d(x, weight), ..., training = false) + residual). Where no gradient is asked for it is one operation, in
// which the convolution normalises what it writes where the device can; otherwise those it consists of.
Variable conv2d_batch_norm_relu(const Variable& x, const Variable& weight, const Conv2dGeometry& geometry,
                                const Variable& gamma, const Variable& beta, Tensor& running_mean, Tensor& running_variance,
                                const Variable& residual = {}, double eps = 1e-5);

// Over the last axis, of extent D; gamma, beta (D) or both undefined.
Variable layer_norm(const Variable& x, const Variable& gamma = {}, const Variable& beta = {}, double eps = 1e-5);

// x / max(||x||_2, 1e-6)^power along the last axis, whose extent is at least 1. power 1: rows of length 1; 0: x itself.
// Finite in value and gradient for every finite x, zero included, and exact where squares would overflow or vanish.
// Throws ValueError unless 0 <= power <= 2.
Variable l2_normalize(const Variable& x, double power = 1);

// Each element zeroed with probability p, the others scaled by 1 / (1 - p). The mask depends on the key alone, which
// defaults to next_random_key(). Identity when not training or p = 0. Throws ValueError unless 0 <= p < 1.
Variable dropout(const Variable& x, double p, bool training);
Variable dropout(const Variable& x, double p, bool training, RandomKey key);

}  // namespace heft
