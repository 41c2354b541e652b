// A batch's losses by size: what the robust reductions with a threshold (CVaR, ChiSquare, TopK) look for it in.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace heft::optim {

struct RankedLoss {
  std::size_t sample;  // its place in the batch
  double loss;
  double below;  // the largest loss minus this one, at most the largest double
  double share;  // P = q / sum q, above 0
};

// By descending loss; of ties the first in the batch comes first. q is the prior, finite and >= 0, or empty for all 1;
// samples without mass are left out.
std::vector<RankedLoss> rank_losses(std::span<const double> losses, std::span<const double> prior = {});

}  // namespace heft::optim
