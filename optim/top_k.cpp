#include "optim/top_k.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/check.h"
#include "optim/batch_sums.h"

namespace heft::optim {

TopK::TopK(const TopKOptions& options) : options_(options) {
  check(options.k.has_value() != options.share.has_value(), "top_k", "expected either a k or a share; got {}",
        options.k ? "both" : "neither");
  const std::int64_t k = options.k.value_or(1);
  const double share = options.share.value_or(1);
  check(k >= 1, "top_k", "expected a k of at least 1; got {}", k);
  check(share > 0 && share <= 1, "top_k", "expected a share in (0, 1]; got {}", share);
}

// Rounded up, but for what 0.07 * 100 is above 7.
std::int64_t TopK::k_of(std::int64_t n) const {
  if (options_.k) return std::min(*options_.k, n);
  return static_cast<std::int64_t>(std::max(1.0, std::ceil(*options_.share * static_cast<double>(n) * (1 - 1e-12))));
}

void TopK::compute(const Batch& batch, std::span<double> weights, bool update) {
  check(batch.prior.empty(), "top_k", "expected no prior, since samples are counted; got one (CVaR takes the top by mass)");
  const auto n = static_cast<std::int64_t>(weights.size()), k = k_of(n);
  std::vector<double> sorted(batch.losses.begin(), batch.losses.end());
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const double threshold = sorted[static_cast<std::size_t>(k - 1)];
  std::int64_t above = 0, tied = 0;
  for (const double loss : batch.losses) {
    above += loss > threshold;
    tied += loss == threshold;
  }
  const double full = static_cast<double>(n) / static_cast<double>(k);
  const double part = full * static_cast<double>(k - above) / static_cast<double>(tied);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = batch.losses[i] > threshold ? full : batch.losses[i] == threshold ? part : 0;
  if (!update) return;
  objective_ = batch_mean(weights, batch.losses);
  threshold_ = threshold;
  k_ = k;
}

std::vector<std::pair<std::string, double>> TopK::diagnostics() const {
  auto all = Reduction::diagnostics();
  all.insert(all.end(), {{"objective", objective()}, {"threshold", threshold()}, {"k", static_cast<double>(k())}});
  return all;
}

}  // namespace heft::optim
