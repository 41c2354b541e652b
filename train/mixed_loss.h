// The loss of images mixed with others (data/mixup.h).
#pragma once

#include "data/dataset.h"
#include "train/evaluate.h"

namespace heft::train {

// (N): own_share * loss(logits, labels) + (1 - own_share) * loss(logits, partner_labels), each sample with its own numbers; for
// a batch that is not mixed, loss(logits, labels). FitOptions::batch_loss takes it with a loss of your choice.
Variable mixed_loss(const Loss& loss, const Variable& logits, const data::Batch& batch);

}  // namespace heft::train
