// ChiSquare: robustness to other mixtures of the samples, by chi-square distance (Namkoong and Duchi, 2017). With
// P_i = q_i / sum q, q the prior (SampleInfo; all 1 without one), and  D(p) = 1/2 sum P_i (p_i / P_i - 1)^2  it descends
//   given lambda, the penalty:  max over p of  sum p_i loss_i - lambda D(p)
//   given radius, the ball:     max over p of  sum p_i loss_i  with  D(p) <= radius
// over p >= 0, sum p_i = 1, by w_i = N p_i. Either way
//   p_i = P_i max(0, loss_i - t) / lambda,   lambda = M_1(t),   M_k(t) = sum P_i max(0, loss_i - t)^k
// with one number to find, the threshold t: at and below it a loss weighs nothing. (t + lambda is the eta of
// p_i = P_i max(0, 1 + (loss_i - eta) / lambda).) M_1 falls in t, which gives the penalty's; and D = (M_2 / M_1^2 - 1) / 2
// grows in t, since half its slope is (M_0 M_2 - M_1^2) / M_1^3 >= 0, which gives the ball's, where lambda is then the
// multiplier of the radius. Both are exact: a search for the losses above t, in log2 N steps, then t in closed form.
// While nothing is below t the objective is  mean + variance / (2 lambda),  or  mean + sqrt(2 radius variance),  under P:
// chi-square robustness is a penalty on the variance. lambda -> infinity and radius -> 0 are the mean.
//   SGD opt(net->parameters(), {.lr = 0.1}, std::make_shared<ChiSquare>(ChiSquareOptions{.radius = 0.5}));
#pragma once

#include <optional>

#include "optim/reduction.h"

namespace heft::optim {

// Set exactly one.
struct ChiSquareOptions {
  std::optional<double> lambda = {};  // above 0, in units of the loss
  std::optional<double> radius = {};  // above 0; N equal samples of which one has it all are at (N - 1) / 2
};

// Each batch stands for itself: no state. A batch in which every q is 0 weighs nothing and reports nothing new.
class ChiSquare final : public Reduction {
 public:
  // Throws ValueError naming the option.
  explicit ChiSquare(const ChiSquareOptions& options);
  const char* name() const override { return "chi_square"; }

  // Of the last batch.
  double objective() const { return report_.objective; }    // the maximum: of the penalty, or of sum p_i loss_i in the ball
  double threshold() const { return report_.threshold; }    // t
  double lambda() const { return report_.lambda; }          // given, or the ball's multiplier
  double divergence() const { return report_.divergence; }  // D(p)
  // Whether the radius is out of reach: the largest losses tie, and share in proportion to P everything there is without
  // being as far from P as that. lambda is then 0.
  bool clamped() const { return report_.clamped; }
  std::vector<std::pair<std::string, double>> diagnostics() const override;

 private:
  struct Report {
    double objective = 0, threshold = 0, lambda = 0, divergence = 0;
    bool clamped = false;
  };
  void compute(const Batch& batch, std::span<double> weights, bool update) override;

  ChiSquareOptions options_;
  Report report_;
};

}  // namespace heft::optim
