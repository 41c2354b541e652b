#include "optim/group_dro.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "optim/batch_sums.h"

namespace heft::optim {
namespace {

constexpr double kLowest = -1e300;  // of log p and its steps: minus infinity would stay whatever is added

void normalize(std::vector<double>& log_shares) {
  const LogMeanExp mean = log_mean_exp(log_shares);
  const double offset = mean.offset + std::log(static_cast<double>(log_shares.size()));
  for (double& log_p : log_shares) log_p = std::max(log_p - mean.max - offset, kLowest);
}

}  // namespace

GroupDRO::GroupDRO(const GroupDROOptions& options) : options_(options) {
  const auto& [groups, eta, adjustment, sizes, absent] = options;
  check(groups >= 1, "group_dro", "expected at least 1 group; got {}", groups);
  check(eta >= 0 && std::isfinite(eta), "group_dro", "expected an eta of at least 0; got {}", eta);
  check(adjustment >= 0 && adjustment <= 1e6, "group_dro", "expected an adjustment in [0, 1e6]; got {}", adjustment);
  check(sizes.empty() ? adjustment == 0 : static_cast<std::int64_t>(sizes.size()) == groups, "group_dro",
        "expected group_sizes of {} groups (they may be left out without an adjustment); got {}", groups, sizes.size());
  for (std::size_t g = 0; g < sizes.size(); ++g)
    check(sizes[g] >= 1, "group_dro", "expected group_sizes of at least 1; got {} for group {}", sizes[g], g);
  log_shares_.assign(static_cast<std::size_t>(groups), -std::log(static_cast<double>(groups)));
  last_losses_.assign(log_shares_.size(), 0);
}

void GroupDRO::compute(const Batch& batch, std::span<double> weights, bool update) {
  const std::size_t n = weights.size(), count = log_shares_.size();
  check(!batch.groups.empty(), name(), "expected a group per loss (SampleInfo::groups); got none for {} losses", n);
  for (std::size_t i = 0; i < n; ++i)
    check(batch.groups[i] >= 0 && batch.groups[i] < options_.groups, name(),
          "expected groups in [0, {}); got {} at sample {} of {}", count, batch.groups[i], i, n);
  const auto group = [&](std::size_t i) { return static_cast<std::size_t>(batch.groups[i]); };

  std::vector<double> mass(count), losses(count);
  for (std::size_t i = 0; i < n; ++i) mass[group(i)] += batch.q(i);
  std::fill(weights.begin(), weights.end(), 0.0);
  if (*std::max_element(mass.begin(), mass.end()) == 0) return;
  if (options_.absent == GroupDROOptions::Absent::last_seen)
    for (std::size_t g = 0; g < count; ++g) losses[g] = mass[g] > 0 ? 0 : last_losses_[g];
  for (std::size_t i = 0; i < n; ++i)
    if (mass[group(i)] > 0) losses[group(i)] += batch.q(i) / mass[group(i)] * batch.losses[i];

  std::vector<double> adjusted = losses, log_shares = log_shares_;
  if (options_.adjustment > 0)
    for (std::size_t g = 0; g < count; ++g)
      adjusted[g] += options_.adjustment / std::sqrt(static_cast<double>(options_.group_sizes[g]));
  // A common factor of all p is none: taken relative to the largest, no exponent is above 0.
  const double largest = *std::max_element(adjusted.begin(), adjusted.end());
  for (std::size_t g = 0; g < count; ++g) log_shares[g] += options_.eta * std::max(adjusted[g] - largest, kLowest);
  normalize(log_shares);

  for (std::size_t i = 0; i < n; ++i)
    if (mass[group(i)] > 0)
      weights[i] = static_cast<double>(n) * (std::exp(log_shares[group(i)]) * (batch.q(i) / mass[group(i)]));
  if (!update) return;
  log_shares_ = std::move(log_shares);
  objective_ = present_share_ = 0;
  for (std::size_t g = 0; g < count; ++g) {
    if (mass[g] == 0) continue;
    last_losses_[g] = losses[g];
    present_share_ += std::exp(log_shares_[g]);
    objective_ += std::exp(log_shares_[g]) * losses[g];
  }
}

std::vector<double> GroupDRO::shares() const {
  std::vector<double> p;
  for (const double log_p : log_shares_) p.push_back(std::exp(log_p));
  return p;
}

std::vector<std::pair<std::string, double>> GroupDRO::diagnostics() const {
  const auto largest = std::max_element(log_shares_.begin(), log_shares_.end());
  auto all = Reduction::diagnostics();
  all.insert(all.end(), {{"objective", objective()},
                         {"present_share", present_share()},
                         {"largest_share", std::exp(*largest)},
                         {"largest_share_group", static_cast<double>(largest - log_shares_.begin())}});
  return all;
}

std::map<std::string, Tensor> GroupDRO::state() const {
  return {{"log_shares", Tensor::from(log_shares_)}, {"last_losses", Tensor::from(last_losses_)}};
}

void GroupDRO::load_state(const std::map<std::string, Tensor>& state) {
  const auto take = [&](const char* key) {
    const auto found = state.find(key);
    check(found != state.end(), name(), "expected an entry '{}' in the state; it is missing", key);
    check<ShapeError>(found->second.shape() == Shape{options_.groups}, name(), "expected shape {} for '{}'; got {}",
                      Shape{options_.groups}, key, found->second.shape());
    return found->second.to_vector<double>();
  };
  std::vector<double> log_shares = take("log_shares"), last_losses = take("last_losses");
  log_shares_ = std::move(log_shares);
  last_losses_ = std::move(last_losses);
}

}  // namespace heft::optim
