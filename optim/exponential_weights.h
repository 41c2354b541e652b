// ExponentialWeights: the reduction of ABSGD (Qi et al., TMLR 2023). It descends the tilted objective
//   F_lambda = lambda log mean_i q_i exp(loss_i / lambda),   q_i the prior, of mean 1 (SampleInfo; all 1 without one)
//   lambda > 0: max over p of  sum p_i loss_i - lambda KL(p || q/N)    hard samples count more (imbalance)
//   lambda < 0: min over p of  sum p_i loss_i + |lambda| KL(p || q/N)  hard samples count less (label noise)
//   lambda = infinity: the mean of q_i loss_i
// by the weights
//   z_i = loss_i / lambda,   u <- (1 - eta) u + eta alpha mean_i q_i exp(z_i),   w_i = q_i exp(z_i) / u
// with u kept as log u in double: finite for every finite loss, 0 <= w_i <= N / (gamma alpha). The derivation, and the other
// place for class weights (inside the exponent: reduce(losses * weights)): docs/absgd.md.
#pragma once

#include <cmath>
#include <limits>
#include <optional>

#include "optim/batch_sums.h"
#include "optim/reduction.h"

namespace heft::optim {

using tilt::Start;  // how the average u begins: core/tilt.h

// lambda solved for instead of given (optim/solve_lambda.h): set exactly one of the first two. While lambda is infinite, the
// mean, it stays so.
struct AutoLambda {
  std::optional<double> effective_share = {};  // in (0, 1): wanted effective sample size over N
  std::optional<double> kl = {};               // above 0, in nats: wanted KL(p || q), the radius of KL-constrained DRO
  enum class When {
    // The lambda that has it on this batch exactly, before it is weighed. Each batch then stands for itself, whatever gamma is
    // given: a u of another lambda says nothing of this one.
    every_batch,
    on_adapt,  // on all losses since the last adapt(), which the caller calls, e.g. once an epoch
    // |lambda| <- max(smallest, |lambda| - rate (kl - KL on this batch)) after each batch: gradient descent on the dual
    // lambda log mean exp(loss / lambda) + lambda kl  of KL-constrained DRO (Qi et al., SCDRO). With kl alone.
    dual_step,
  } when = When::every_batch;
  double rate = 0.5;       // of dual_step, above 0
  double smallest = 1e-3;  // bounds of |lambda|
  double largest = 1e6;
};

struct ExponentialWeightsOptions {
  double lambda = 5;   // +-1e-3 and beyond, or infinity. With auto_lambda: its sign, and where it begins
  double gamma = 0.9;  // in (0, 1]: share of the new batch in the average; 1 forgets all others (a softmax over the batch)
  double alpha = 1;    // in (0, 1]: scales u alone, so it multiplies every weight by 1 / alpha
  Start start = Start::bias_corrected;
  // Nats by which one sample may lift the batch's mean of q exp(z) above its level so far; >= 0, infinity for no clip.
  // Unset: kDefaultClip; none with Start::official, nor with gamma = 1, which has no memory to spoil. See ExponentialWeights.
  std::optional<double> clip = {};
  std::optional<AutoLambda> auto_lambda = {};  // not with Start::official
  // In [0, 1): the least effective share of a batch (optim/solve_lambda.h). Where lambda would leave it to fewer samples, the
  // shares within the batch, or the part of one, are those of the next lambda that does not; their sum and u stay as they are.
  // 0: none.
  double min_share = 0;
};

// The clip. z + log q is bounded by  level + log B + clip,  in u and w alike, with B the largest batch so far. The level is
// that of the running average (log u - log alpha), or the median of the batch where there is none: in the first batch, and with
// gamma = 1. One sample at the bound, in a batch otherwise at the level, holds a share e^clip / (e^clip + 1) of it and weighs
// about B / gamma: letting it go further would not raise its weight, only sink everyone else's until u has decayed again, by
// log(1 / (1 - gamma)) nats a step: 43 steps at gamma = 0.9 for a sample 100 nats above the rest. With the clip it is
// clip / log(1 / (1 - gamma)): 2.2 steps. At the default the share is 99.3 %: the clip acts where a batch was one sample's
// anyway, with B = 128 at a loss 9.85 |lambda| away from the objective.
//
// A level of another era (whole batches at 1e30 once) could still take for ever to leave. After kPatience batches in a row
// that lie as a whole out of reach, every z above the bound or their mean of exp(z) as far below the level, the average
// starts anew with the next. Without a clip it never does.
//
// Ragged batches: N samples where the largest batch so far had B: gamma_N = 1 - (1 - gamma)^(N / B).
//
// Batches in parts have the u, the weights and the gradient of the whole batch, since u is all they share; but a lambda that
// is solved for on every batch needs the batch whole, and the median of a first batch is that of each part.
//
// A batch in which every q is 0 weighs nothing and leaves the average alone.
class ExponentialWeights final : public Reduction {
 public:
  static constexpr double kDefaultClip = 5;
  static constexpr int kPatience = tilt::kPatience;
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  // Throws ValueError naming the option.
  explicit ExponentialWeights(const ExponentialWeightsOptions& options = {});
  const char* name() const override { return "absgd"; }
  bool in_parts() const override;

  double lambda() const { return known().average.lambda; }
  // Takes effect with the next batch. u goes over to the new unit so that the objective is kept:
  // log u <- (log u - log alpha) lambda_old / lambda_new + log alpha, from infinity m / lambda_new + log alpha with m the
  // moving mean loss; the moving mean of q stays a factor of u. Throws ValueError unless |lambda| >= 1e-3 or infinite, and
  // between the parts of a batch.
  void set_lambda(double lambda);
  // AutoLambda::When::on_adapt: solves on the losses since the last call; without any, or without it, nothing happens.
  void adapt();
  bool solves_lambda() const { return auto_.has_value(); }
  // Whether the last lambda that was solved for is the end of its range: ties leave no solution.
  bool lambda_clamped() const { return known().clamped; }

  // log u: minus infinity before the first batch; while lambda is infinite, the log of the moving mean of q.
  double log_u() const;
  // F_lambda as the average knows it: lambda (log u - log alpha - log of the moving mean of q); the moving mean loss while
  // lambda is infinite; 0 before the first batch.
  double objective() const { return tilt::objective(tilt_, known().average); }
  double moving_mean_loss() const { return known().average.mean_loss; }  // of q_i loss_i over that of q_i, averaged like u
  // Of q exp(z) in the last batch, clipped.
  double batch_log_mean_exp() const { return known().pool.z.max + known().pool.z.offset; }
  std::int64_t clipped() const { return known().pool.clipped; }       // its samples that the clip bounded
  std::int64_t restarts() const { return known().average.restarts; }  // times the average has started anew
  std::vector<std::pair<std::string, double>> diagnostics() const override;

  // "lambda", "log_u", "mass", "moving_mean_prior", "moving_mean_loss", "batch_size", "far_batches", "restarts", "has_prior",
  // "lambda_clamped";
  // with on_adapt "seen_losses" and "seen_priors" where there are any.
  std::map<std::string, Tensor> state() const override;
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  void compute(const Batch& batch, std::span<double> weights, bool update) override;
  double log_divisor() const override;
  std::optional<tilt::Options> on_device() const override;
  std::unique_ptr<Reduction> clone() const override { return std::make_unique<ExponentialWeights>(*this); }
  void solve_on_seen();
  tilt::Options options_now() const;

  tilt::Options tilt_;  // without the target
  std::optional<AutoLambda> auto_;
  std::vector<double> seen_losses_, seen_priors_;
};

}  // namespace heft::optim
