// Which lambda gives weights of a wanted concentration. With p_i = q_i exp(loss_i / lambda) / sum and t = 1 / |lambda|:
//   effective share  (sum_i q_i e_i)^2 / (sum_i q_i  sum_i q_i e_i^2),  e_i = exp(loss_i / lambda), in (0, 1]: the effective
//     sample size over N, relative to the prior; its logarithm is 2 K(t) - K(2t) with K the convex log E_q exp(+-loss t), so
//     its slope 2 (K'(t) - K'(2t)) is never above 0;
//   KL(p || q) = t K'(t) - K(t), of slope t K''(t), never below 0.
// Both are monotone in t, so bisection finds the one solution there is, in a fixed number of steps.
#pragma once

#include <span>

namespace heft::optim {

struct LambdaSolution {
  double lambda = 0;
  double reached = 0;  // the share or divergence that it has
  // The target is out of reach: the k largest losses tie, so that no lambda leaves less than k / N (no more than log(N / k)
  // nats), or all are equal and any lambda does. `lambda` is then the end of the range that comes closest.
  bool clamped = false;
};

struct LambdaRange {
  double sign = 1;  // +1: high losses weigh more; -1: less
  double smallest = 1e-3;
  double largest = 1e6;
};

// Losses finite; prior empty (all 1) or one entry >= 0 per loss, not all 0. Throw ValueError unless 0 < share < 1, kl > 0,
// 1e-3 <= smallest <= largest < infinity, and sign is 1 or -1.
LambdaSolution lambda_for_effective_share(std::span<const double> losses, std::span<const double> prior, double share,
                                          const LambdaRange& range = {});
LambdaSolution lambda_for_kl(std::span<const double> losses, std::span<const double> prior, double kl,
                             const LambdaRange& range = {});

// What the solutions are solved for.
double effective_share_at(std::span<const double> losses, std::span<const double> prior, double lambda);
double kl_at(std::span<const double> losses, std::span<const double> prior, double lambda);

}  // namespace heft::optim
