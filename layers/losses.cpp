#include "layers/losses.h"

#include <cmath>

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft {
namespace {

// The labels as i64 on the logits' device, one per row of x (N, C) and each in [0, C).
Tensor checked_labels(const char* op, const Variable& x, const Tensor& labels) {
  check<ShapeError>(labels.defined() && x.rank() == 2 && labels.rank() == 1 && labels.size(0) == x.size(0), op,
                    "expected (N, C) and labels (N); got {} and {}", x.shape(),
                    labels.defined() ? labels.shape().str() : "no labels");
  check<DTypeError>(!is_floating(labels.dtype()) && labels.dtype() != DType::boolean, op, "expected integer labels; got {}",
                    labels.dtype());
  const std::int64_t classes = x.size(1);
  const Tensor on_host = labels.astype(DType::i64).to(Device::cpu()).contiguous();
  const std::int64_t* label = on_host.data<std::int64_t>();
  for (std::int64_t i = 0; i < on_host.numel(); ++i)
    check(label[i] >= 0 && label[i] < classes, op, "expected labels in [0, {}); got {} at sample {}", classes, label[i], i);
  return on_host.to(x.device());
}

// x[i, labels[i]], shape (N).
Variable at_label(const Variable& x, const Tensor& labels) {
  return reshape(gather(x, 1, labels.reshape({-1, 1})), {x.size(0)});
}

void check_same_shape(const char* op, const Shape& x, const Shape& targets) {
  check<ShapeError>(x.rank() >= 1 && x == targets, op, "expected (N, ...) and targets of the same shape; got {} and {}", x,
                    targets);
}

// (N, ...) -> (N, D): the outputs of a sample in a row.
Variable rows(const Variable& x) { return x.rank() == 1 ? reshape(x, {-1, 1}) : flatten(x); }

Variable weights_of_samples(const char* op, const Tensor& class_weights, const Variable& logits, const Tensor& labels) {
  const Shape expected{logits.size(1)};
  check<ShapeError>(class_weights.shape() == expected, op, "expected class_weights {}; got {}", expected,
                    class_weights.shape());
  const std::vector<double> values = class_weights.to_vector<double>();
  for (std::size_t c = 0; c < values.size(); ++c)
    check(values[c] >= 0 && std::isfinite(values[c]), op, "expected finite class_weights >= 0; got {} for class {}", values[c],
          c);
  return index_select(class_weights.astype(logits.dtype()).to(logits.device()), 0, labels);
}

}  // namespace

Variable cross_entropy(const Variable& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  constexpr const char* op = "cross_entropy";
  const double e = options.label_smoothing;
  check(e >= 0 && e <= 1, op, "expected label_smoothing in [0, 1]; got {}", e);
  const Tensor y = checked_labels(op, logits, labels);
  const Variable log_p = log_softmax(logits, 1);
  Variable losses = -at_label(log_p, y);
  if (e > 0) losses = losses * (1 - e) - mean(log_p, {1}) * e;
  if (options.class_weights.defined()) losses = losses * weights_of_samples(op, options.class_weights, logits, y);
  return losses;
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
  // Two terms that are never negative: nothing cancels, however large the logit.
  return sum(rows(t * softplus(-logits) + (1 - t) * softplus(logits)), {1});
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
  return max(scores + margins, {1}) - at_label(scores, y);
}

}  // namespace heft
