#include "optim/exponential_weights.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "optim/batch_sums.h"

namespace heft::optim {
namespace {

constexpr double kLargest = 1e300;  // |z|; beyond, differences of two would be infinite

double log_add_exp(double a, double b) {
  const double high = std::max(a, b), low = std::min(a, b);
  return high == low ? high + std::log(2.0) : high + std::log1p(std::exp(low - high));
}

void check_lambda(double lambda) {
  check(!std::isnan(lambda) && std::abs(lambda) >= 1e-3 && lambda != -ExponentialWeights::kInfinity, "absgd",
        "expected lambda of at least 0.001 in magnitude (negative for label noise, infinity for the mean); got {}", lambda);
}

}  // namespace

ExponentialWeights::ExponentialWeights(const ExponentialWeightsOptions& options)
    : lambda_(options.lambda),
      gamma_(options.gamma),
      alpha_(options.alpha),
      clip_(options.clip.value_or(options.start == Start::official || options.gamma == 1 ? kInfinity : kDefaultClip)),
      start_(options.start) {
  check_lambda(lambda_);
  check(gamma_ > 0 && gamma_ <= 1, "absgd", "expected gamma in (0, 1]; got {}", gamma_);
  check(alpha_ > 0 && alpha_ <= 1, "absgd", "expected alpha in (0, 1]; got {}", alpha_);
  check(clip_ >= 0, "absgd", "expected a clip of at least 0 nats (infinity for none); got {}", clip_);
}

double ExponentialWeights::gamma_of(std::int64_t n, std::int64_t batch_size) const {
  if (start_ == Start::official || n == batch_size) return gamma_;
  return -std::expm1(static_cast<double>(n) / static_cast<double>(batch_size) * std::log1p(-gamma_));
}

// Applies the clip to z and returns how many it touched. Starts the average anew when it has been out of reach for long.
std::int64_t ExponentialWeights::bound(std::span<double> z, Average& average) const {
  if (std::isinf(clip_)) return 0;
  const double reach = std::log(static_cast<double>(z.size())) + clip_;
  const auto has_level = [&] { return gamma_ < 1 && average.log_u > -kInfinity; };
  if (has_level()) {
    const double level = average.log_u - std::log(alpha_);
    const auto [lowest, highest] = std::minmax_element(z.begin(), z.end());
    bool below = *highest < level - reach;
    if (!below && *lowest < level - reach) {  // else the mean of exp(z) cannot be that low
      const LogMeanExp b = log_mean_exp(z);
      below = b.max + b.offset < level - reach;
    }
    average.far_batches = below || *lowest > level + reach ? average.far_batches + 1 : 0;
    if (average.far_batches >= kPatience) average = {.batch_size = average.batch_size, .restarts = average.restarts + 1};
  }
  const double top = (has_level() ? average.log_u - std::log(alpha_) : batch_median(z)) + reach;
  std::int64_t count = 0;
  for (double& v : z) {
    count += v > top;
    v = std::min(v, top);
  }
  return count;
}

void ExponentialWeights::compute(std::span<const double> losses, std::span<double> weights, bool update) {
  const auto n = static_cast<std::int64_t>(losses.size());
  Average next = average_;
  next.batch_size = std::max(next.batch_size, n);
  std::int64_t clipped = 0;
  std::vector<double> z;
  if (!std::isinf(lambda_)) {
    z.resize(losses.size());
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = std::clamp(losses[i] / lambda_, -kLargest, kLargest);
    clipped = bound(z, next);
  }

  const double gamma = gamma_of(n, next.batch_size);
  const bool first = next.mass == 0;
  next.mass = start_ == Start::bias_corrected ? next.mass + gamma * (1 - next.mass) : 1;
  const double eta = first ? 1 : gamma / next.mass;
  const double mean = batch_mean(losses);
  next.mean_loss = first ? mean : (1 - eta) * next.mean_loss + eta * mean;

  if (std::isinf(lambda_)) {
    std::fill(weights.begin(), weights.end(), 1.0);
  } else {
    // Everything relative to the batch's largest z, so that digits survive where z and log u are huge.
    const double rate = start_ == Start::official ? gamma_ : eta;
    const LogMeanExp b = log_mean_exp(z);
    const double offset = log_add_exp(std::log1p(-rate) + (next.log_u - b.max), std::log(rate) + std::log(alpha_) + b.offset);
    next.log_u = b.max + offset;
    for (std::size_t i = 0; i < z.size(); ++i) weights[i] = std::exp((z[i] - b.max) - offset);
  }
  if (update) {
    average_ = next;
    clipped_ = clipped;
  }
}

void ExponentialWeights::set_lambda(double lambda) {
  check_lambda(lambda);
  if (lambda == lambda_) return;
  if (start_ != Start::official && average_.mass > 0 && !std::isinf(lambda)) {
    average_.log_u = std::clamp(objective() / lambda, -kLargest, kLargest) + std::log(alpha_);
  }
  lambda_ = lambda;
}

double ExponentialWeights::log_u() const { return std::isinf(lambda_) ? 0 : average_.log_u; }

double ExponentialWeights::objective() const {
  return std::isinf(lambda_) ? average_.mean_loss : lambda_ * (average_.log_u - std::log(alpha_));
}

std::vector<std::pair<std::string, double>> ExponentialWeights::diagnostics() const {
  auto all = Reduction::diagnostics();
  all.insert(all.end(), {{"lambda", lambda_},
                         {"log_u", log_u()},
                         {"objective", objective()},
                         {"clipped", static_cast<double>(clipped_)},
                         {"restarts", static_cast<double>(average_.restarts)}});
  return all;
}

std::map<std::string, Tensor> ExponentialWeights::state() const {
  return {{"lambda", number(lambda_)},
          {"log_u", number(average_.log_u)},
          {"mass", number(average_.mass)},
          {"moving_mean_loss", number(average_.mean_loss)},
          {"batch_size", number(static_cast<double>(average_.batch_size))},
          {"far_batches", number(static_cast<double>(average_.far_batches))},
          {"restarts", number(static_cast<double>(average_.restarts))}};
}

void ExponentialWeights::load_state(const std::map<std::string, Tensor>& state) {
  const auto take = [&](const char* key) { return take_number(state, key, name()); };
  const double lambda = take("lambda");
  check_lambda(lambda);
  Average average;
  average.log_u = take("log_u");
  average.mass = take("mass");
  average.mean_loss = take("moving_mean_loss");
  average.batch_size = static_cast<std::int64_t>(take("batch_size"));
  average.far_batches = static_cast<std::int64_t>(take("far_batches"));
  average.restarts = static_cast<std::int64_t>(take("restarts"));
  lambda_ = lambda;
  average_ = average;
}

}  // namespace heft::optim
