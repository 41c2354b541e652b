#include "train/mixed_loss.h"

#include "autograd/elementwise.h"

namespace heft::train {

Variable mixed_loss(const Loss& loss, const Variable& logits, const data::Batch& batch) {
  const Variable own = loss(logits, batch.labels);
  if (!batch.own_share.defined()) return own;
  const Variable share(batch.own_share.astype(own.dtype()));
  return share * own + (1.0 - share) * loss(logits, batch.partner_labels);
}

}  // namespace heft::train
