#include "optim/focal_weights.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "optim/batch_sums.h"

namespace heft::optim {
namespace {

constexpr double kRounding = 1e-5;  // what the logarithm of a softmax of f32 may be above 0

}  // namespace

FocalWeights::FocalWeights(const FocalWeightsOptions& options) : gamma_(options.gamma) {
  check(gamma_ >= 0 && std::isfinite(gamma_), "focal_weights", "expected a gamma of at least 0; got {}", gamma_);
}

void FocalWeights::compute(const Batch& batch, std::span<double> weights, bool update) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double loss = batch.losses[i];
    check(loss >= -kRounding, "focal_weights",
          "expected losses of at least 0, as cross-entropy gives; got {} at sample {} of {}", loss, i, weights.size());
    weights[i] = batch.q(i) * std::pow(-std::expm1(-std::max(loss, 0.0)), gamma_);
  }
  if (!update) return;
  const double earlier = batch.first_part ? 0 : static_cast<double>(this->weights().size());
  const double now = static_cast<double>(weights.size()), mean = batch_mean(weights, batch.losses);
  objective_ = earlier > 0 ? objective_ + (mean - objective_) * (now / (earlier + now)) : mean;
}

std::vector<std::pair<std::string, double>> FocalWeights::diagnostics() const {
  auto all = Reduction::diagnostics();
  all.emplace_back("objective", objective());
  return all;
}

}  // namespace heft::optim
