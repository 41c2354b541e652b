// What the losses are made of. Internal to layers/losses*.cpp.
#pragma once

#include "autograd/variable.h"

namespace heft::loss {

// The labels as i64 on x's device, one per row of x (N, C) and each in [0, C); or of x (N, ...) and in [0, classes).
Tensor checked_labels(const char* op, const Variable& x, const Tensor& labels);
Tensor checked_labels(const char* op, const Variable& x, const Tensor& labels, std::int64_t classes);

// surprise(log_probabilities(logits), checked labels) as one operation. Labels on a GPU are checked there: one out of range
// gives NaN, in loss and gradient.
Variable plain_cross_entropy(const char* op, const Variable& logits, const Tensor& labels);

// x[i, labels[i]], shape (N).
Variable at_label(const Variable& x, const Tensor& labels);

// Each logit less the largest of its row, which is all that a softmax or a hinge depends on. Differences below -1e30 count
// as -1e30 (and pass no gradient), so that neither they nor scaled or weighted losses leave f32. NaN or +infinity makes the
// whole row NaN; -infinity may mask a class.
Variable differences(const Variable& logits);

// log_softmax along the classes, finite for finite logits.
Variable log_probabilities(const Variable& logits);

// -log p[y] from log_probabilities; never below 0, though a primitive's rounding may put log p a millionth above it.
Variable surprise(const Variable& log_p, const Tensor& labels);

}  // namespace heft::loss
