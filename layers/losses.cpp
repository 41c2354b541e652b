#include "layers/losses.h"

#include <cmath>

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "core/check.h"
#include "core/ops.h"
#include "layers/loss_terms.h"

namespace heft {

using loss::at_label;
using loss::checked_labels;

namespace {

void check_same_shape(const char* op, const Shape& x, const Shape& targets) {
  check<ShapeError>(x.rank() >= 1 && x == targets, op, "expected (N, ...) and targets of the same shape; got {} and {}", x,
                    targets);
}

// (N, ...) -> (N, D): the outputs of a sample in a row.
Variable rows(const Variable& x) { return x.rank() == 1 ? reshape(x, {-1, 1}) : flatten(x); }

// w[y_i], each weight checked.
Tensor weights_of_samples(const char* op, const Tensor& class_weights, const Variable& like, const Tensor& labels) {
  const std::vector<double> values = class_weights.to_vector<double>();
  for (std::size_t c = 0; c < values.size(); ++c)
    check(values[c] >= 0 && std::isfinite(values[c]), op, "expected finite class_weights >= 0; got {} for class {}", values[c],
          c);
  return index_select(class_weights.astype(like.dtype()).to(like.device()), 0, labels);
}

}  // namespace

Variable cross_entropy(const Variable& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  constexpr const char* op = "cross_entropy";
  const double e = options.label_smoothing;
  check(e >= 0 && e <= 1, op, "expected label_smoothing in [0, 1]; got {}", e);
  const Tensor& w = options.class_weights;
  if (e == 0 && !w.defined()) return loss::plain_cross_entropy(op, logits, labels);
  const Tensor y = checked_labels(op, logits, labels);
  const Shape expected{logits.size(1)};
  check<ShapeError>(!w.defined() || w.shape() == expected, op, "expected class_weights {}; got {}", expected,
                    w.defined() ? w.shape() : Shape{});
  const Variable log_p = loss::log_probabilities(logits);
  Variable losses = loss::surprise(log_p, y);
  if (e > 0) losses = losses * (1 - e) - mean(log_p, {1}) * e;
  return w.defined() ? losses * weights_of_samples(op, w, logits, y) : losses;
}

Variable class_weighted(const Variable& losses, const Tensor& labels, const Tensor& class_weights) {
  constexpr const char* op = "class_weighted";
  check<ShapeError>(losses.rank() == 1, op, "expected losses (N); got {}", losses.shape());
  check<ShapeError>(class_weights.defined() && class_weights.rank() == 1, op, "expected class_weights (C); got {}",
                    class_weights.defined() ? class_weights.shape().str() : "none");
  const Tensor y = checked_labels(op, losses, labels, class_weights.size(0));
  return losses * weights_of_samples(op, class_weights, losses, y);
}

Variable nll(const Variable& log_probabilities, const Tensor& labels) {
  return -at_label(log_probabilities, checked_labels("nll", log_probabilities, labels));
}

Variable binary_cross_entropy_with_logits(const Variable& logits, const Tensor& targets) {
  constexpr const char* op = "binary_cross_entropy_with_logits";
  check_same_shape(op, logits.shape(), targets.shape());
  const std::vector<double> values = targets.to_vector<double>();
  const std::size_t outputs = values.size() / static_cast<std::size_t>(std::max<std::int64_t>(logits.size(0), 1));
  for (std::size_t i = 0; i < values.size(); ++i)
    check(values[i] >= 0 && values[i] <= 1, op, "expected targets in [0, 1]; got {} at sample {}", values[i], i / outputs);
  const Variable t = targets.astype(logits.dtype()).to(logits.device());
  // Bounded, so that the sum stays within f32, except for an infinite logit, which shows as NaN.
  const Variable z = clamp(logits, -1e30, 1e30) + logits * 0.0;
  // Two terms that are never negative: nothing cancels, however large the logit.
  return sum(rows(t * softplus(-z) + (1 - t) * softplus(z)), {1});
}

Variable logistic(const Variable& logits, const Tensor& labels) {
  constexpr const char* op = "logistic";
  check<ShapeError>(labels.defined() && labels.rank() == 1 &&
                        (logits.rank() == 1 || (logits.rank() == 2 && logits.size(1) == 1)) && labels.size(0) == logits.size(0),
                    op, "expected logits (N) or (N, 1) and labels (N); got {} and {}", logits.shape(),
                    labels.defined() ? labels.shape().str() : "no labels");
  check<DTypeError>(!is_floating(labels.dtype()), op, "expected integer labels; got {}", labels.dtype());
  std::vector<double> values = labels.to_vector<double>();
  bool zero = false, negative = false;
  for (std::size_t i = 0; i < values.size(); ++i) {
    double& v = values[i];
    zero = zero || v == 0, negative = negative || v == -1;
    check(v >= -1 && v <= 1 && !(zero && negative), op, "expected labels 0 and 1, or -1 and 1; got {} at sample {}{}", v, i,
          zero && negative ? ", and both 0 and -1" : "");
    v = v > 0 ? -1 : 1;
  }
  const Tensor minus_sign = Tensor::from(values).astype(logits.dtype()).to(logits.device());
  const Variable z = reshape(logits, {logits.size(0)});
  return softplus(z * minus_sign) + z * 0.0;  // an infinite logit shows as NaN, as above
}

Variable mse(const Variable& predictions, const Variable& targets) {
  check_same_shape("mse", predictions.shape(), targets.shape());
  const Variable d = rows(predictions - targets);
  return mean(d * d, {1});
}

Variable l1(const Variable& predictions, const Variable& targets) {
  check_same_shape("l1", predictions.shape(), targets.shape());
  return mean(rows(abs(predictions - targets)), {1});
}

Variable smooth_l1(const Variable& predictions, const Variable& targets, const SmoothL1Options& options) {
  check(options.beta > 0 && std::isfinite(options.beta), "smooth_l1", "expected a finite beta > 0; got {}", options.beta);
  check_same_shape("smooth_l1", predictions.shape(), targets.shape());
  const Variable d = abs(predictions - targets);
  const Variable m = clamp(d, 0, options.beta);  // m (d - m / 2) / beta is both branches in one
  return mean(rows(m * (d - m * 0.5) / options.beta), {1});
}

Variable hinge(const Variable& scores, const Tensor& labels, const HingeOptions& options) {
  constexpr const char* op = "hinge";
  check(options.margin > 0 && std::isfinite(options.margin), op, "expected a finite margin > 0; got {}", options.margin);
  const Tensor y = checked_labels(op, scores, labels);
  // The label's own entry has no margin, so that the maximum is never below its score.
  const Tensor margins = (one_hot(y, scores.size(1), scores.dtype()) - 1) * -options.margin;
  const Variable s = loss::differences(scores);
  return max(s + margins, {1}) - at_label(s, y);
}

}  // namespace heft
