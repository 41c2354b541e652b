// GroupDRO: the worst of several groups of samples counts (Sagawa et al., 2020; their q_g is p_g here). It descends
//   max over p of  sum_g p_g L_g,   L_g = the mean loss of group g
// by keeping a p over the G groups, 1 / G each at first. Every batch moves it by a step of exponentiated gradient, to the p
// that maximises  sum p_g (L_g + C / sqrt(n_g)) - KL(p || p before) / eta,  and is then weighed with it:
//   p_g <- p_g exp(eta (L_g + C / sqrt(n_g))), scaled to sum p_g = 1;   w_i = N p_g / (samples of group g in the batch)
// for a sample i of group g, with L_g of the batch, n_g the group's size in the training set, and C a size adjustment, 0
// unless asked for: a small group that is fitted well may still generalise badly, so it gets a margin. With a prior q
// (SampleInfo) means are under it: L_g = sum q_i loss_i / sum q_i, w_i = N p_g q_i / sum q, over the group's samples.
//   SGD opt(net->parameters(), {.lr = 0.1}, std::make_shared<GroupDRO>(GroupDROOptions{.groups = 4}));
//   backward(opt.reduce(losses, {.groups = groups_of_the_batch}));
//
// Absent groups, without a sample in the batch (or none with prior): their p has no sample to go to, so the weights average
// less than 1, the p of those present. They are not scaled up: what a group gives to a step should not depend on who else is
// there. What stands for an absent group's L_g in the update is an option. With the paper's, 0, a group that is rarely drawn
// fades however high its loss is: draw batches that hold all groups alike (data::weighted_sampler), as the authors do, or
// choose last_seen.
// p does not forget: losses that stayed 1 / eta apart for k batches leave a ratio of e^k to undo.
#pragma once

#include "optim/reduction.h"

namespace heft::optim {

struct GroupDROOptions {
  std::int64_t groups = 0;                     // how many there are, at least 1: they are numbered from 0
  double eta = 0.01;                           // finite, at least 0 (0: every group counts alike for ever)
  double adjustment = 0;                       // C, in [0, 1e6]; above 0 it needs group_sizes
  std::vector<std::int64_t> group_sizes = {};  // n_g of the training set, each at least 1
  enum class Absent {
    zero,       // as in the paper, where each batch is of one group, and in the authors' code
    last_seen,  // its mean loss where it was last present; 0 before that
  } absent = Absent::zero;
};

// The whole batch at once: its p depends on all its losses. A batch in which every prior is 0 weighs and changes nothing.
class GroupDRO final : public Reduction {
 public:
  // Throws ValueError naming the option.
  explicit GroupDRO(const GroupDROOptions& options);
  const char* name() const override { return "group_dro"; }

  std::vector<double> shares() const;                                      // p, G of them
  const std::vector<double>& last_losses() const { return last_losses_; }  // L_g where g was last present; 0 before that
  double objective() const { return objective_; }                          // sum p_g L_g over the groups of the last batch
  double present_share() const { return present_share_; }                  // their p: what the weights average
  // With "largest_share" and "largest_share_group": the group that counts most, and its p.
  std::vector<std::pair<std::string, double>> diagnostics() const override;

  // "log_shares" and "last_losses", (G) each. load_state throws ShapeError for another number of groups.
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  // Throws ValueError without groups, or naming the first sample whose group is not in [0, G).
  void compute(const Batch& batch, std::span<double> weights, bool update) override;

  GroupDROOptions options_;
  std::vector<double> log_shares_, last_losses_;
  double objective_ = 0, present_share_ = 0;
};

}  // namespace heft::optim
