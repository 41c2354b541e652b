// Differentiable normalisations, and dropout.
#pragma once

#include "autograd/variable.h"
#include "core/random.h"

namespace heft {

// x (N, C, H, W) or (N, C); gamma, beta (C). Training: normalises with the batch's mean and biased variance and updates
// the running statistics in place, running = (1 - momentum) running + momentum batch, with the unbiased variance (Ioffe
// and Szegedy 2015; PyTorch's conventions). Evaluation: normalises with the running statistics.
// Under NoGrad training mode still updates the statistics.
Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, Tensor& running_mean,
                    Tensor& running_variance, bool training, double momentum = 0.1, double eps = 1e-5);

// Over the last axis, of extent D; gamma, beta (D) or both undefined.
Variable layer_norm(const Variable& x, const Variable& gamma = {}, const Variable& beta = {}, double eps = 1e-5);

// Each element zeroed with probability p, the others scaled by 1 / (1 - p). The mask depends on the key alone, which
// defaults to next_random_key(). Identity when not training or p = 0. Throws ValueError unless 0 <= p < 1.
Variable dropout(const Variable& x, double p, bool training);
Variable dropout(const Variable& x, double p, bool training, RandomKey key);

}  // namespace heft
