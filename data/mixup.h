// Mixup (Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018).
#pragma once

#include "data/augment.h"

namespace heft::data {

struct MixupOptions {
  double alpha = 0.2;       // of Beta(alpha, alpha), in [0.001, 1000]; the paper's: 1 for CIFAR, 0.2 for ImageNet
  bool per_sample = false;  // a share for each sample instead of one for the batch, which is the paper's
};

// With s ~ Beta(alpha, alpha) and p a random permutation of the batch, image i becomes s image_i + (1 - s) image_p(i). Sets
// Batch::own_share to s and Batch::partner_labels to the labels of p; the rest of the batch, labels, indices and clean labels
// too, stays sample i's own. A loss of mixed samples is one value per sample:
//   own_share * loss(logits, labels) + (1 - own_share) * loss(logits, partner_labels),
// which is mixed_loss() of train/mixed_loss.h.
// Partners depend on which samples are in the batch, and so on batch_size. Throws ValueError where alpha is outside its domain;
// for a batch that is mixed already.
Augmentation mixup(const MixupOptions& options = {});

}  // namespace heft::data
