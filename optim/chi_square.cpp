#include "optim/chi_square.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "optim/batch_sums.h"
#include "optim/ranked_losses.h"

namespace heft::optim {
namespace {

using Ranked = std::span<const RankedLoss>;

// Thresholds are given by the distance T that they lie below the largest loss: a common offset of 1e30 is none then, and
// max(0, loss - t) = T r with r in [0, 1].
double height(double below, double distance) { return distance > 0 ? std::max(0.0, 1 - below / distance) : below == 0; }

// sum P r and sum P r^2: M_k / T^k.
struct Moments {
  double first = 0, second = 0;
};
Moments moments(Ranked ranked, double distance) {
  Moments m;
  for (const RankedLoss& s : ranked) {
    const double r = height(s.below, distance);
    m.first += s.share * r;
    m.second += s.share * r * r;
  }
  return m;
}

// sum P over some samples, and the mean under P of their distance below the largest.
struct Mass {
  double sum = 0, mean = 0;
};
Mass mass(Ranked ranked) {
  Mass m;
  for (const RankedLoss& s : ranked) m.sum += s.share;
  for (const RankedLoss& s : ranked) m.mean += s.share / m.sum * s.below;
  return m;
}

// The samples above the threshold: those before the first that would, as the threshold, be as low as the wanted one or lower.
template <class LowEnough>
Ranked active(Ranked ranked, LowEnough low_enough) {
  const auto end =
      std::partition_point(ranked.begin(), ranked.end(), [&](const RankedLoss& s) { return !low_enough(s.below); });
  return ranked.first(static_cast<std::size_t>(end - ranked.begin()));
}

// M_1 = m (T - y) = lambda, with m the mass of the active and y their mean distance.
double distance_for_lambda(Ranked ranked, double lambda) {
  const Mass m = mass(active(ranked, [&](double T) { return moments(ranked, T).first * T >= lambda; }));
  return m.mean + lambda / m.sum;
}

// 1 + 2 D = M_2 / M_1^2 = 1 / m + S / (m (T - y))^2, with S = sum P (below - y)^2 over the active. 0 where the ties at the top
// are within the radius.
double distance_for_radius(Ranked ranked, double radius) {
  const Ranked above = active(ranked, [&](double T) {
    const Moments m = moments(ranked, T);
    return T > 0 && m.second / m.first / m.first <= 1 + 2 * radius;
  });
  const double unit = above.back().below;
  if (unit == 0) return 0;
  const Ranked others = ranked.subspan(above.size());
  const Mass m = mass(above);
  double squares = 0;
  for (const RankedLoss& s : above) squares += s.share * std::pow((s.below - m.mean) / unit, 2);
  const double spread = std::sqrt(squares / std::max(0.0, 2 * radius - mass(others).sum / m.sum));
  const double limit = others.empty() ? std::numeric_limits<double>::max() : others.front().below;
  return std::clamp(m.mean + spread / m.sum * unit, unit, limit);  // as it is already, but for rounding
}

}  // namespace

ChiSquare::ChiSquare(const ChiSquareOptions& options) : options_(options) {
  check(options.lambda.has_value() != options.radius.has_value(), "chi_square", "expected either a lambda or a radius; got {}",
        options.lambda ? "both" : "neither");
  const double lambda = options.lambda.value_or(1), radius = options.radius.value_or(1);
  check(lambda > 0 && std::isfinite(lambda), "chi_square", "expected a lambda above 0; got {}", lambda);
  check(radius > 0 && std::isfinite(radius), "chi_square", "expected a radius above 0; got {}", radius);
}

void ChiSquare::compute(const Batch& batch, std::span<double> weights, bool update) {
  const std::vector<RankedLoss> ranked = rank_losses(batch.losses, batch.prior);
  std::fill(weights.begin(), weights.end(), 0.0);
  if (ranked.empty()) return;

  const double distance =
      options_.lambda ? distance_for_lambda(ranked, *options_.lambda) : distance_for_radius(ranked, *options_.radius);
  const double total = moments(ranked, distance).first, n = static_cast<double>(weights.size());
  double divergence = 0;
  for (const RankedLoss& s : ranked) {
    const double ratio = height(s.below, distance) / total;  // p / P
    weights[s.sample] = n * (s.share * ratio);
    divergence += s.share * (ratio - 1) * (ratio - 1) / 2;
  }
  if (!update) return;
  report_ = {.objective = batch_mean(weights, batch.losses) - options_.lambda.value_or(0) * divergence,
             .threshold = ranked.front().loss - distance,
             .lambda = options_.lambda.value_or(total * distance),
             .divergence = divergence,
             .clamped = distance == 0};
}

std::vector<std::pair<std::string, double>> ChiSquare::diagnostics() const {
  auto all = Reduction::diagnostics();
  all.insert(all.end(), {{"objective", objective()},
                         {"threshold", threshold()},
                         {"lambda", lambda()},
                         {"divergence", divergence()},
                         {"clamped", clamped() ? 1.0 : 0.0}});
  return all;
}

}  // namespace heft::optim
