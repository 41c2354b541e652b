// FocalWeights: the factor of the focal loss (Lin et al., 2017) as weights. With q the prior (SampleInfo; all 1 without one),
// where its alpha_t, a weight for the class, belongs,
//   w_i = q_i (1 - exp(-loss_i))^gamma
// For the cross-entropy of a label exp(-loss_i) is the probability that the model gives it: what is known already counts less.
// (With label smoothing, or class weights inside the loss, it is not that probability.) Weights are constants: unlike the
// focal loss, no gradient flows through them. Its gradient is  (1 - p)^gamma - gamma p (1 - p)^(gamma - 1) log p  times that
// of loss = -log p, and the weights are the first term alone. They are no distribution over the batch, so they are
// not scaled to average 1: a batch that is known takes a small step. gamma = 0 is the mean.
//   SGD opt(net->parameters(), {.lr = 0.1}, std::make_shared<FocalWeights>(FocalWeightsOptions{.gamma = 2}));
#pragma once

#include "optim/reduction.h"

namespace heft::optim {

struct FocalWeightsOptions {
  double gamma = 2;  // finite, at least 0
};

// Each sample stands for itself: no state, and batches may come in parts.
class FocalWeights final : public Reduction {
 public:
  // Throws ValueError naming the option.
  explicit FocalWeights(const FocalWeightsOptions& options = {});
  const char* name() const override { return "focal_weights"; }
  bool in_parts() const override { return true; }

  // The focal loss of the last batch: the mean of w_i loss_i.
  double objective() const { return objective_; }
  std::vector<std::pair<std::string, double>> diagnostics() const override;

 private:
  // Throws ValueError naming the first loss that is negative, by more than rounding leaves of 0: exp(-loss) is no probability.
  void compute(const Batch& batch, std::span<double> weights, bool update) override;

  double gamma_;
  double objective_ = 0;
};

}  // namespace heft::optim
