#include "optim/solve_lambda.h"

#include <cmath>

#include "core/check.h"
#include "core/tilt.h"

namespace heft::optim {
namespace {

tilt::Batch batch_of(std::span<const double> losses, std::span<const double> prior) {
  return {
      .n = static_cast<std::int64_t>(losses.size()), .losses = losses.data(), .prior = prior.empty() ? nullptr : prior.data()};
}

LambdaSolution solve(const char* op, std::span<const double> losses, std::span<const double> prior, tilt::Target what,
                     double target, const LambdaRange& range) {
  check(!losses.empty() && (prior.empty() || prior.size() == losses.size()), op,
        "expected losses, and no prior or as many entries; got {} and {}", losses.size(), prior.size());
  for (std::size_t i = 0; i < losses.size(); ++i)
    check<NumericError>(std::isfinite(losses[i]), op, "expected finite losses; got {} at sample {} of {}", losses[i], i,
                        losses.size());
  check(std::abs(range.sign) == 1, op, "expected a sign of 1 or -1; got {}", range.sign);
  check(range.smallest >= 1e-3 && range.smallest <= range.largest && std::isfinite(range.largest), op,
        "expected a range of |lambda| within [0.001, infinity); got {} to {}", range.smallest, range.largest);
  const tilt::Solution found =
      tilt::solve(tilt::OneThread{}, batch_of(losses, prior), what, target, range.sign, range.smallest, range.largest);
  return {found.lambda, found.reached, found.clamped};
}

}  // namespace

double effective_share_at(std::span<const double> losses, std::span<const double> prior, double lambda) {
  return tilt::effective_share_at(tilt::OneThread{}, batch_of(losses, prior), lambda);
}

double kl_at(std::span<const double> losses, std::span<const double> prior, double lambda) {
  return tilt::kl_at(tilt::OneThread{}, batch_of(losses, prior), lambda);
}

LambdaSolution lambda_for_effective_share(std::span<const double> losses, std::span<const double> prior, double share,
                                          const LambdaRange& range) {
  constexpr const char* op = "lambda_for_effective_share";
  check(share > 0 && share < 1, op, "expected a share in (0, 1); got {}", share);
  return solve(op, losses, prior, tilt::Target::effective_share, share, range);
}

LambdaSolution lambda_for_kl(std::span<const double> losses, std::span<const double> prior, double kl,
                             const LambdaRange& range) {
  constexpr const char* op = "lambda_for_kl";
  check(kl > 0 && std::isfinite(kl), op, "expected a divergence above 0 nats; got {}", kl);
  return solve(op, losses, prior, tilt::Target::kl, kl, range);
}

}  // namespace heft::optim
