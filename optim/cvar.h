// CVaR: the conditional value at risk, the mean of the worst share alpha of a batch (Rockafellar and Uryasev, 2000). With
// P_i = q_i / sum q, q the prior (SampleInfo; all 1 without one), it descends
//   max over p of  sum p_i loss_i  with  0 <= p_i <= P_i / alpha, sum p_i = 1
//     = min over t of  t + sum P_i max(0, loss_i - t) / alpha
// by w_i = N p_i. The largest losses get P_i / alpha until they have it all; t is the loss at which that happens (the value at
// risk), and those that tie there share what is left in proportion to P. alpha = 1 is the mean.
//   SGD opt(net->parameters(), {.lr = 0.1}, std::make_shared<CVaR>(CVaROptions{.alpha = 0.3}));
#pragma once

#include "optim/reduction.h"

namespace heft::optim {

struct CVaROptions {
  double alpha = 0.5;  // in [1e-12, 1]
};

// Each batch stands for itself: no state. A batch in which every q is 0 weighs nothing and reports nothing new.
class CVaR final : public Reduction {
 public:
  // Throws ValueError naming the option.
  explicit CVaR(const CVaROptions& options = {});
  const char* name() const override { return "cvar"; }

  double objective() const { return objective_; }  // sum p_i loss_i of the last batch
  double threshold() const { return threshold_; }  // its t
  std::vector<std::pair<std::string, double>> diagnostics() const override;

 private:
  void compute(const Batch& batch, std::span<double> weights, bool update) override;

  double alpha_;
  double objective_ = 0, threshold_ = 0;
};

}  // namespace heft::optim
