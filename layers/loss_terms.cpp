#include "layers/loss_terms.h"

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft::loss {
namespace {

std::string shape_of(const Tensor& labels) { return labels.defined() ? labels.shape().str() : "no labels"; }

}  // namespace

Tensor checked_labels(const char* op, const Variable& x, const Tensor& labels) {
  check<ShapeError>(labels.defined() && x.rank() == 2 && labels.rank() == 1 && labels.size(0) == x.size(0), op,
                    "expected (N, C) and labels (N); got {} and {}", x.shape(), shape_of(labels));
  return checked_labels(op, x, labels, x.size(1));
}

Tensor checked_labels(const char* op, const Variable& x, const Tensor& labels, std::int64_t classes) {
  check<ShapeError>(labels.defined() && x.rank() >= 1 && labels.shape() == Shape{x.size(0)}, op,
                    "expected one label for each of {}; got {}", x.shape(), shape_of(labels));
  check<DTypeError>(!is_floating(labels.dtype()) && labels.dtype() != DType::boolean, op, "expected integer labels; got {}",
                    labels.dtype());
  const Tensor on_host = labels.astype(DType::i64).to(Device::cpu()).contiguous();
  const std::int64_t* label = on_host.data<std::int64_t>();
  for (std::int64_t i = 0; i < on_host.numel(); ++i)
    check(label[i] >= 0 && label[i] < classes, op, "expected labels in [0, {}); got {} at sample {}", classes, label[i], i);
  return on_host.to(x.device());
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
