// ExponentialWeights: the reduction of ABSGD (Qi et al., TMLR 2023). It descends the tilted objective
//   F_lambda = lambda log mean_i exp(loss_i / lambda)
//   lambda > 0: max over p of  sum p_i loss_i - lambda KL(p || uniform)    hard samples count more (imbalance)
//   lambda < 0: min over p of  sum p_i loss_i + |lambda| KL(p || uniform)  hard samples count less (label noise)
//   lambda = infinity: the mean
// by the weights
//   z_i = loss_i / lambda,   u <- (1 - eta) u + eta alpha mean_i exp(z_i),   w_i = exp(z_i) / u
// with u kept as log u in double: finite for every finite loss, 0 <= w_i <= N / (gamma alpha).
#pragma once

#include <limits>
#include <optional>

#include "optim/reduction.h"

namespace heft::optim {

// How the average u begins; eta is the weight of the newest batch.
enum class Start {
  // eta_t = gamma_t / c_t, c_t = 1 - (1 - gamma_1) ... (1 - gamma_t): Adam's correction. The first batch has sum w = N.
  bias_corrected,
  // u_1 = mean exp(z) of the first batch, then eta = gamma_t.
  first_batch,
  // The authors' code: u_0 = 0, eta = gamma whatever the batch, u left as it is when lambda changes, no clip unless asked
  // for. The first batch has sum w = N / (gamma alpha).
  official,
};

struct ExponentialWeightsOptions {
  double lambda = 5;   // +-1e-3 and beyond, or infinity
  double gamma = 0.9;  // in (0, 1]: share of the new batch in the average; 1 forgets all others (a softmax over the batch)
  double alpha = 1;    // in (0, 1]: scales u alone, so it multiplies every weight by 1 / alpha
  Start start = Start::bias_corrected;
  // Nats by which one sample may lift the batch's mean of exp(z) above its level so far; >= 0, infinity for no clip.
  // Unset: kDefaultClip; none with Start::official, nor with gamma = 1, which has no memory to spoil. See ExponentialWeights.
  std::optional<double> clip = {};
};

// The clip. z is bounded by  level + log N + clip,  in u and w alike. The level is that of the running average (log u - log
// alpha), or the median of z where there is none: in the first batch, and with gamma = 1. One sample at the bound, in a
// batch otherwise at the level, holds a share e^clip / (e^clip + 1) of it and weighs about N / gamma: letting it go further
// would not raise its weight, only sink everyone else's until u has decayed again, by log(1 / (1 - gamma)) nats a step: 43
// steps at gamma = 0.9 for a sample 100 nats above the rest. With the clip it is clip / log(1 / (1 - gamma)): 2.2 steps. At
// the default the share is 99.3 %: the clip acts where a batch was one sample's anyway, with N = 128 at a loss 9.85 |lambda|
// away from the objective.
//
// A level of another era (whole batches at 1e30 once) could still take for ever to leave. After kPatience batches in a row
// that lie as a whole out of reach, every z above the bound or their mean of exp(z) as far below the level, the average
// starts anew. Without a clip it never does.
//
// Ragged batches: N samples where the largest batch so far had B: gamma_N = 1 - (1 - gamma)^(N / B).
class ExponentialWeights final : public Reduction {
 public:
  static constexpr double kDefaultClip = 5;
  static constexpr int kPatience = 10;
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  // Throws ValueError naming the option.
  explicit ExponentialWeights(const ExponentialWeightsOptions& options = {});
  const char* name() const override { return "absgd"; }

  double lambda() const { return lambda_; }
  // Takes effect with the next batch. u goes over to the new unit so that the objective is kept:
  // log u <- (log u - log alpha) lambda_old / lambda_new + log alpha, from infinity m / lambda_new + log alpha with m the
  // moving mean loss. Throws ValueError unless |lambda| >= 1e-3 or infinite.
  void set_lambda(double lambda);

  // log u: minus infinity before the first batch, 0 while lambda is infinite.
  double log_u() const;
  // F_lambda as the average knows it: lambda (log u - log alpha); the moving mean loss while lambda is infinite.
  double objective() const;
  double moving_mean_loss() const { return average_.mean_loss; }  // averaged like u
  std::int64_t clipped() const { return clipped_; }               // samples of the last batch that the clip bounded
  std::int64_t restarts() const { return average_.restarts; }     // times the average has started anew
  std::vector<std::pair<std::string, double>> diagnostics() const override;

  // "lambda", "log_u", "mass", "moving_mean_loss", "batch_size", "far_batches", "restarts".
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  struct Average {
    double log_u = -kInfinity;
    double mass = 0;  // 1 - product of (1 - gamma_t): what the average is made of; 0: nothing yet
    double mean_loss = 0;
    std::int64_t batch_size = 0;   // the largest so far
    std::int64_t far_batches = 0;  // in a row, out of the clip's reach
    std::int64_t restarts = 0;
  };
  void compute(std::span<const double> losses, std::span<double> weights, bool update) override;
  double gamma_of(std::int64_t n, std::int64_t batch_size) const;
  std::int64_t bound(std::span<double> z, Average& average) const;

  double lambda_, gamma_, alpha_, clip_;
  Start start_;
  Average average_;
  std::int64_t clipped_ = 0;
};

}  // namespace heft::optim
