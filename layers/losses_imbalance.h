// Losses for imbalanced training sets: logits (N, C), labels (N), one value per sample; conventions, numerics and errors as
// in layers/losses.h.
//
// Class-balanced cross entropy (Cui et al., CVPR 2019) is cross_entropy with weights from the effective number of samples,
// w_c = (1 - b) / (1 - b^n_c), b = 0.9999, scaled to sum to C:
//   const Tensor w = data::class_weights(data::class_counts(train), {.scheme = data::WeightScheme::effective_number});
//   const Variable losses = cross_entropy(logits, labels, {.class_weights = w});
// The weights are inside the loss, so ABSGD tilts the weighted one; class_weighted(losses, labels, w) does the same to any
// other.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "autograd/variable.h"

namespace heft {

// How many training samples each class has: {5000, 50}, a vector as of data::class_counts, or an integer tensor (C). The
// losses below throw ValueError unless every class has one at least, and ShapeError unless there is a count for each logit.
class ClassCounts {
 public:
  ClassCounts() = default;  // none: an option that must be given
  ClassCounts(std::initializer_list<std::int64_t> counts) : values_(counts) {}
  ClassCounts(std::vector<std::int64_t> counts) : values_(std::move(counts)) {}  // NOLINT
  // Throws ShapeError unless (C), DTypeError unless integers.
  ClassCounts(const Tensor& counts);  // NOLINT
  const std::vector<std::int64_t>& values() const { return values_; }

 private:
  std::vector<std::int64_t> values_;
};

struct LdamOptions {
  ClassCounts counts = {};
  double max_margin = 0.5;  // of the rarest class; >= 0
  double scale = 30;        // > 0
};
// Label-distribution-aware margins (Cao et al., NeurIPS 2019), on the cosines of a NormedLinear (layers/linear.h):
//   loss_i = cross entropy of scale (z_i - m[y_i] e[y_i]),   m_c = max_margin (min n / n_c)^(1/4).
// Validate with the cosines times the scale, or by accuracy alone: there the margins have no place.
Variable ldam(const Variable& cosines, const Tensor& labels, const LdamOptions& options);
// The margins m, f64 (C).
Tensor ldam_margins(const ClassCounts& counts, double max_margin = 0.5);

struct FocalOptions {
  double gamma = 1;  // >= 0; 0 is cross entropy. 1 as in the codes of LDAM-DRW and ABSGD; Lin et al. use 2
};
// Lin et al., ICCV 2017, on the softmax: with p = softmax(z_i)[y_i], loss_i = (1 - p)^gamma (-log p).
// With class weights w the codes above compute (1 - p^w)^gamma w (-log p), because their p is exp of minus the weighted loss;
// class_weighted(focal(...)) is w (1 - p)^gamma (-log p).
Variable focal(const Variable& logits, const Tensor& labels, const FocalOptions& options = {});

struct LogitAdjustmentOptions {
  ClassCounts counts = {};
  double tau = 1;  // >= 0; 0 is cross entropy
};
// Logit-adjusted cross entropy (Menon et al., ICLR 2021), at train time: the cross entropy of z_i + tau log pi, with priors
// pi_c = n_c / sum n. tau = 1 is the balanced softmax (Ren et al., NeurIPS 2020). Predict from the logits as they are.
Variable logit_adjusted_cross_entropy(const Variable& logits, const Tensor& labels, const LogitAdjustmentOptions& options);

}  // namespace heft
