#include "optim/cvar.h"

#include <algorithm>

#include "core/check.h"
#include "optim/batch_sums.h"
#include "optim/ranked_losses.h"

namespace heft::optim {

CVaR::CVaR(const CVaROptions& options) : alpha_(options.alpha) {
  check(alpha_ >= 1e-12 && alpha_ <= 1, "cvar", "expected alpha in [1e-12, 1]; got {}", alpha_);
}

void CVaR::compute(const Batch& batch, std::span<double> weights, bool update) {
  const std::vector<RankedLoss> ranked = rank_losses(batch.losses, batch.prior);
  std::fill(weights.begin(), weights.end(), 0.0);
  if (ranked.empty()) return;

  double above = 0, tied = 0, threshold = 0;
  for (auto r = ranked.begin(); r != ranked.end() && above + tied < alpha_;) {
    above += tied;
    tied = 0;
    threshold = r->loss;
    for (; r != ranked.end() && r->loss == threshold; ++r) tied += r->share;
  }
  const double n = static_cast<double>(weights.size());
  const double tied_part = std::min(1.0, (alpha_ - above) / tied);  // of P / alpha, what those at the threshold get
  for (const RankedLoss& r : ranked)
    if (r.loss >= threshold) weights[r.sample] = n * (r.share / alpha_) * (r.loss > threshold ? 1 : tied_part);
  if (!update) return;
  objective_ = batch_mean(weights, batch.losses);
  threshold_ = threshold;
}

std::vector<std::pair<std::string, double>> CVaR::diagnostics() const {
  auto all = Reduction::diagnostics();
  all.insert(all.end(), {{"objective", objective_}, {"threshold", threshold_}});
  return all;
}

}  // namespace heft::optim
