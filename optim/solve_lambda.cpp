#include "optim/solve_lambda.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace heft::optim {
namespace {

constexpr int kSteps = 60;  // halvings of log |lambda| over nine decades: to the last bits of a double

// sum q, sum q e, sum q e^2 and sum q e log e of e = exp(z - max z); what has no mass is left out.
struct Tilt {
  double mass = 0, first = 0, second = 0, log_moment = 0;
};

Tilt tilt(std::span<const double> losses, std::span<const double> prior, double lambda) {
  const auto q = [&](std::size_t i) { return prior.empty() ? 1 : prior[i]; };
  // Differences of losses first: a common offset of 1e30 is none.
  double top = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < losses.size(); ++i)
    if (q(i) > 0) top = std::max(top, lambda > 0 ? losses[i] : -losses[i]);
  Tilt t;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (!(q(i) > 0)) continue;
    const double log_e = ((lambda > 0 ? losses[i] : -losses[i]) - top) / std::abs(lambda), e = std::exp(log_e);
    t.mass += q(i);
    t.first += q(i) * e;
    t.second += q(i) * e * e;
    if (e > 0) t.log_moment += q(i) * e * log_e;
  }
  return t;
}

// `concentration` grows as |lambda| falls.
template <class F>
LambdaSolution solve(const char* op, std::span<const double> losses, std::span<const double> prior, double target,
                     const LambdaRange& range, F concentration) {
  check(!losses.empty() && (prior.empty() || prior.size() == losses.size()), op,
        "expected losses, and no prior or as many entries; got {} and {}", losses.size(), prior.size());
  for (std::size_t i = 0; i < losses.size(); ++i)
    check<NumericError>(std::isfinite(losses[i]), op, "expected finite losses; got {} at sample {} of {}", losses[i], i,
                        losses.size());
  check(std::abs(range.sign) == 1, op, "expected a sign of 1 or -1; got {}", range.sign);
  check(range.smallest >= 1e-3 && range.smallest <= range.largest && std::isfinite(range.largest), op,
        "expected a range of |lambda| within [0.001, infinity); got {} to {}", range.smallest, range.largest);
  const auto at = [&](double log_size) { return concentration(losses, prior, range.sign * std::exp(log_size)); };
  double low = std::log(range.smallest), high = std::log(range.largest);
  const double most = at(low), least = at(high);
  if (target > most) return {range.sign * range.smallest, most, true};
  if (target < least) return {range.sign * range.largest, least, true};
  for (int step = 0; step < kSteps; ++step) {
    const double middle = (low + high) / 2;
    (at(middle) > target ? low : high) = middle;
  }
  return {range.sign * std::exp(high), at(high), false};
}

}  // namespace

double effective_share_at(std::span<const double> losses, std::span<const double> prior, double lambda) {
  const Tilt t = tilt(losses, prior, lambda);
  return t.first / t.mass * (t.first / t.second);
}

double kl_at(std::span<const double> losses, std::span<const double> prior, double lambda) {
  const Tilt t = tilt(losses, prior, lambda);
  return std::max(0.0, t.log_moment / t.first - std::log(t.first / t.mass));
}

LambdaSolution lambda_for_effective_share(std::span<const double> losses, std::span<const double> prior, double share,
                                          const LambdaRange& range) {
  constexpr const char* op = "lambda_for_effective_share";
  check(share > 0 && share < 1, op, "expected a share in (0, 1); got {}", share);
  const auto concentration = [](auto l, auto q, double lambda) { return -effective_share_at(l, q, lambda); };
  LambdaSolution solution = solve(op, losses, prior, -share, range, concentration);
  solution.reached = -solution.reached;
  return solution;
}

LambdaSolution lambda_for_kl(std::span<const double> losses, std::span<const double> prior, double kl,
                             const LambdaRange& range) {
  constexpr const char* op = "lambda_for_kl";
  check(kl > 0 && std::isfinite(kl), op, "expected a divergence above 0 nats; got {}", kl);
  return solve(op, losses, prior, kl, range, kl_at);
}

}  // namespace heft::optim
