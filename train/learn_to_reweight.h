// L2RW: Ren, Zeng, Yang, Urtasun, "Learning to reweight examples for robust deep learning", ICML 2018.
#pragma once

#include "train/meta.h"

namespace heft::train {

// Per batch, from weights eps = 0: u_i = d L_meta(theta^) / d eps_i at eps = 0, where theta^ = theta, and
//   p_i = max(0, -u_i) / sum_j max(0, -u_j);   all 0 where no u_j is negative, as in the paper.
// eta cancels, unless it is 0. All weights 0: the gradient is 0, and the optimizer's step is what momentum and weight decay
// make it. Because eps = 0 moves nothing, the meta gradient is taken first and the batch's one graph serves the product and the
// update: two forward passes, two backward sweeps and one jvp a step, of one graph at a time (the paper counts three of each).
// It has no state.
class LearnToReweight final : public MetaReweighter {
 public:
  const char* name() const override { return "l2rw"; }

 private:
  Weighed weigh_batch(const Context& context) override;
};

}  // namespace heft::train
