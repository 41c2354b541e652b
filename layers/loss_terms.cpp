#include "layers/loss_terms.h"

#include <limits>

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft::loss {
namespace {

std::string shape_of(const Tensor& labels) { return labels.defined() ? labels.shape().str() : "no labels"; }

void check_matrix(const char* op, const Variable& x, const Tensor& labels) {
  check<ShapeError>(labels.defined() && x.rank() == 2 && labels.rank() == 1 && labels.size(0) == x.size(0), op,
                    "expected (N, C) and labels (N); got {} and {}", x.shape(), shape_of(labels));
}

}  // namespace

Tensor checked_labels(const char* op, const Variable& x, const Tensor& labels) {
  check_matrix(op, x, labels);
  return checked_labels(op, x, labels, x.size(1));
}

namespace {

void check_labels(const char* op, const Variable& x, const Tensor& labels) {
  check<ShapeError>(labels.defined() && x.rank() >= 1 && labels.shape() == Shape{x.size(0)}, op,
                    "expected one label for each of {}; got {}", x.shape(), shape_of(labels));
  check<DTypeError>(!is_floating(labels.dtype()) && labels.dtype() != DType::boolean, op, "expected integer labels; got {}",
                    labels.dtype());
}

}  // namespace

Tensor checked_labels(const char* op, const Variable& x, const Tensor& labels, std::int64_t classes) {
  check_labels(op, x, labels);
  // On a GPU that would wait for it: there a label outside reads as NaN where the loss looks up its entry.
  if (labels.device().is_cuda()) return labels.astype(DType::i64).to(x.device()).contiguous();
  const Tensor on_host = labels.astype(DType::i64).to(Device::cpu()).contiguous();
  const std::int64_t* label = on_host.data<std::int64_t>();
  for (std::int64_t i = 0; i < on_host.numel(); ++i)
    check(label[i] >= 0 && label[i] < classes, op, "expected labels in [0, {}); got {} at sample {}", classes, label[i], i);
  return on_host.to(x.device());
}

// The operation looks at the labels where they are already: a CPU's once, a GPU's by its kernel, so that no step waits for it.
Variable plain_cross_entropy(const char* op, const Variable& logits, const Tensor& labels) {
  Tensor y;
  if (labels.defined() && logits.device() == labels.device()) {
    check_matrix(op, logits, labels);
    check_labels(op, logits, labels);
    y = labels.astype(DType::i64);
  } else {
    y = checked_labels(op, logits, labels);
  }
  const CrossEntropyResult r = softmax_cross_entropy(logits.value(), y);
  return record(
      op, r.losses,
      {{logits, [saved = Saved(r.saved), y](const Tensor& dy) { return softmax_cross_entropy_backward(saved, y, dy); },
        // The pullback's adjoint: `saved` is the log-probability, -infinity where a logit was clamped.
        [saved = Saved(r.saved), y](const Tensor& dx) {
          const Tensor log_p = saved, index = y.reshape({-1, 1});
          const auto constant = [&](double value) { return Tensor::full(Shape{}, value, dx.dtype(), dx.device()); };
          const Tensor has_gradient = compare<fn::Greater>(log_p, constant(-std::numeric_limits<double>::infinity()));
          const Tensor d = where(has_gradient, dx, constant(0));
          const auto at_label = [&](const Tensor& x) { return -gather(x, 1, index).reshape({x.size(0)}); };
          const Tensor losses = at_label(log_p), moved = at_label(d - sum(unary<fn::Exp>(log_p) * d, {1}, true));
          return unary_backward(losses, losses, moved, fn::Clamp{.low = 0});
        }}});
}

Variable at_label(const Variable& x, const Tensor& labels) {
  return reshape(gather(x, 1, labels.reshape({-1, 1})), {x.size(0)});
}

Variable differences(const Variable& logits) {
  const Tensor largest = max(logits.value(), {1}, true);
  // 0 times infinity: a row with +infinity becomes NaN throughout, or losses that are bounded would hide it.
  return clamp(logits - (largest + largest * 0.0), -1e30);
}

Variable log_probabilities(const Variable& logits) { return log_softmax(differences(logits), 1); }

Variable surprise(const Variable& log_p, const Tensor& labels) { return clamp(-at_label(log_p, labels), 0); }

}  // namespace heft::loss
