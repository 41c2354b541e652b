// Whatever is summed over a batch of losses. This is the one place: where a batch is spread over several machines, the
// counts, sums and log-sum-exps merge here, and no formula elsewhere changes.
#pragma once

#include <cstdint>
#include <span>

#include "core/tilt.h"

namespace heft::optim {

// (1/N) sum x_i
double batch_mean(std::span<const double> x);
// (1/N) sum w_i x_i; sizes equal
double batch_mean(std::span<const double> weights, std::span<const double> x);

using tilt::LogMeanExp;
// Where every z is minus infinity: {minus infinity, 0}.
LogMeanExp log_mean_exp(std::span<const double> z);
// Of two parts of one batch, with n and m entries.
LogMeanExp merge(const LogMeanExp& a, std::int64_t n, const LogMeanExp& b, std::int64_t m);

// The middle element; the lower of the two where N is even.
double batch_median(std::span<const double> x);

// (sum w)^2 / sum w^2: N for equal weights, 1 when one sample has it all, 0 when every weight is 0. Weights >= 0.
double effective_sample_size(std::span<const double> weights);
// KL(p || q) in nats with p = w / sum w and q = prior / sum prior (empty: uniform): 0 where w follows the prior, log N when one
// sample of N has it all and q is uniform. 0 where all weights are 0. A sample of prior 0 must have weight 0.
double kl_divergence(std::span<const double> weights, std::span<const double> prior = {});

}  // namespace heft::optim
