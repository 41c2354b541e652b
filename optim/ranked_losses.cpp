#include "optim/ranked_losses.h"

#include <algorithm>
#include <limits>

namespace heft::optim {

std::vector<RankedLoss> rank_losses(std::span<const double> losses, std::span<const double> prior) {
  const double largest = prior.empty() ? 1 : *std::max_element(prior.begin(), prior.end());
  std::vector<RankedLoss> ranked;
  ranked.reserve(losses.size());
  double sum = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double share = prior.empty() ? 1 : prior[i] / largest;  // relative first: the sum of priors may be infinite
    if (!(share > 0)) continue;
    ranked.push_back({i, losses[i], 0, share});
    sum += share;
  }
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return a.loss != b.loss ? a.loss > b.loss : a.sample < b.sample; });
  for (RankedLoss& r : ranked) {
    r.below = std::min(ranked.front().loss - r.loss, std::numeric_limits<double>::max());
    r.share /= sum;
  }
  return ranked;
}

}  // namespace heft::optim
