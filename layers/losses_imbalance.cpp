#include "layers/losses_imbalance.h"

#include <algorithm>
#include <cmath>

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "core/check.h"
#include "core/ops.h"
#include "layers/loss_terms.h"

namespace heft {
namespace {

void check_counts(const char* op, const std::vector<std::int64_t>& counts) {
  check(!counts.empty(), op, "expected counts, the samples of each class; got none");
  for (std::size_t c = 0; c < counts.size(); ++c)
    check(counts[c] >= 1, op, "expected counts >= 1; got {} for class {}", counts[c], c);
}

void check_counts(const char* op, const std::vector<std::int64_t>& counts, const Variable& logits) {
  check_counts(op, counts);
  check<ShapeError>(static_cast<std::int64_t>(counts.size()) == logits.size(1), op,
                    "expected a count for each of {} classes; got {}", logits.size(1), counts.size());
}

Tensor like(const Variable& logits, const Tensor& row) { return row.astype(logits.dtype()).to(logits.device()); }

}  // namespace

ClassCounts::ClassCounts(const Tensor& counts) {
  check<ShapeError>(counts.defined() && counts.rank() == 1, "ClassCounts", "expected counts of shape (C); got {}",
                    counts.defined() ? counts.shape().str() : "an undefined tensor");
  check<DTypeError>(!is_floating(counts.dtype()) && counts.dtype() != DType::boolean, "ClassCounts",
                    "expected integer counts; got {}", counts.dtype());
  values_ = counts.to_vector<std::int64_t>();
}

Tensor ldam_margins(const ClassCounts& counts, double max_margin) {
  constexpr const char* op = "ldam_margins";
  check(max_margin >= 0 && std::isfinite(max_margin), op, "expected a finite max_margin >= 0; got {}", max_margin);
  const std::vector<std::int64_t>& n = counts.values();
  check_counts(op, n);
  const auto rarest = static_cast<double>(*std::min_element(n.begin(), n.end()));
  std::vector<double> margins;
  for (const std::int64_t count : n) margins.push_back(max_margin * std::pow(rarest / static_cast<double>(count), 0.25));
  return Tensor::from(margins);
}

Variable ldam(const Variable& cosines, const Tensor& labels, const LdamOptions& options) {
  constexpr const char* op = "ldam";
  check(options.max_margin >= 0 && std::isfinite(options.max_margin), op, "expected a finite max_margin >= 0; got {}",
        options.max_margin);
  check(options.scale > 0 && std::isfinite(options.scale), op, "expected a finite scale > 0; got {}", options.scale);
  const Tensor y = loss::checked_labels(op, cosines, labels);
  check_counts(op, options.counts.values(), cosines);
  const Tensor margins = like(cosines, ldam_margins(options.counts, options.max_margin));
  const Tensor at_labels = one_hot(y, cosines.size(1), cosines.dtype()) * margins;
  const Variable log_p = log_softmax((loss::differences(cosines) - at_labels) * options.scale, 1);
  return loss::surprise(log_p, y);
}

Variable focal(const Variable& logits, const Tensor& labels, const FocalOptions& options) {
  constexpr const char* op = "focal";
  check(options.gamma >= 0 && std::isfinite(options.gamma), op, "expected a finite gamma >= 0; got {}", options.gamma);
  const Tensor y = loss::checked_labels(op, logits, labels);
  const Variable surprise = loss::surprise(loss::log_probabilities(logits), y);
  // 1 - p is kept off 0, where a power below 1 has no derivative; the loss is 0 there all the same.
  return pow(clamp(-expm1(-surprise), 1e-30), options.gamma) * surprise;
}

Variable logit_adjusted_cross_entropy(const Variable& logits, const Tensor& labels, const LogitAdjustmentOptions& options) {
  constexpr const char* op = "logit_adjusted_cross_entropy";
  check(options.tau >= 0 && std::isfinite(options.tau), op, "expected a finite tau >= 0; got {}", options.tau);
  const Tensor y = loss::checked_labels(op, logits, labels);
  const std::vector<std::int64_t>& n = options.counts.values();
  check_counts(op, n, logits);
  double total = 0;
  for (const std::int64_t count : n) total += static_cast<double>(count);
  std::vector<double> log_priors;
  for (const std::int64_t count : n) log_priors.push_back(options.tau * std::log(static_cast<double>(count) / total));
  const Variable adjusted = loss::differences(logits) + like(logits, Tensor::from(log_priors));
  return loss::surprise(log_softmax(adjusted, 1), y);
}

}  // namespace heft
