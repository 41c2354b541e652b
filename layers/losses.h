// Losses. Each returns one value per sample, shape (N): how they become one number is the optimizer's reduction. More of
// them: layers/losses_imbalance.h, layers/losses_noise.h.
// Logits, predictions and log-probabilities are f32 or f64; labels are class numbers, integers of shape (N). All are
// finite, in value and gradient, for logits of any finite size: differences of logits beyond 1e30 count as 1e30. A NaN or
// +infinity among the logits gives NaN; -infinity may mask a class other than the label.
// Throw ShapeError for shapes that do not fit, DTypeError for labels that are not integers, and ValueError for a label,
// target or option out of its domain: "[cross_entropy] expected labels in [0, 10); got 12 at sample 5".
#pragma once

#include "autograd/variable.h"

namespace heft {

struct CrossEntropyOptions {
  double label_smoothing = 0;  // e in [0, 1]: the target is 1 - e for the label plus e / C for every class
  Tensor class_weights = {};   // (C), finite and >= 0; undefined: ones
};
// logits (N, C). With log p = log_softmax(logits_i):
//   loss_i = w[y_i] ((1 - e) (-log p[y_i]) + e / C sum_c (-log p[c])).
// Without either option, labels on a GPU are checked by the GPU, as nothing has to wait for it then: one that is out of range
// gives NaN as its loss and in its gradient, and throws nothing.
// Weights multiply; nothing divides by their sum. (PyTorch's smoothing term weighs each class by its own w_c instead.)
Variable cross_entropy(const Variable& logits, const Tensor& labels, const CrossEntropyOptions& options = {});

// w[y_i] losses_i, with losses (N) of any kind and class_weights (C), finite and >= 0. With data::class_weights it makes the
// class-balanced form of a loss, and applied from some epoch on the deferred one (DRW).
Variable class_weighted(const Variable& losses, const Tensor& labels, const Tensor& class_weights);

// log_probabilities (N, C): loss_i = -log_probabilities[i, y_i].
Variable nll(const Variable& log_probabilities, const Tensor& labels);

// logits (N) or (N, ...), targets of the same shape in [0, 1], any dtype. Summed over the outputs of a sample:
//   loss_i = sum_k t log(1 + e^-z) + (1 - t) log(1 + e^z).
Variable binary_cross_entropy_with_logits(const Variable& logits, const Tensor& targets);

// One logit z a sample, (N) or (N, 1); labels (N), integers: 0 and 1, or -1 and 1, not both kinds in a batch:
//   loss_i = log(1 + e^(-s z)), s = 1 for label 1 and -1 for the other.
Variable logistic(const Variable& logits, const Tensor& labels);

// Predictions (N) or (N, ...), targets of the same shape; mean over the D outputs of a sample, with d = |x - t|:
//   mse: 1/D sum d^2;  l1: 1/D sum d;  smooth_l1: 1/D sum (d < beta ? d^2 / (2 beta) : d - beta / 2), beta > 0.
Variable mse(const Variable& predictions, const Variable& targets);
Variable l1(const Variable& predictions, const Variable& targets);
struct SmoothL1Options {
  double beta = 1;
};
Variable smooth_l1(const Variable& predictions, const Variable& targets, const SmoothL1Options& options = {});

struct HingeOptions {
  double margin = 1;  // > 0
};
// The multi-class hinge of Crammer and Singer (2001), scores (N, C):
//   loss_i = max(0, max_{c != y_i} margin + s[c] - s[y_i]).
Variable hinge(const Variable& scores, const Tensor& labels, const HingeOptions& options = {});

}  // namespace heft
