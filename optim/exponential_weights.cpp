#include "optim/exponential_weights.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "optim/solve_lambda.h"

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

void check_auto(const AutoLambda& a) {
  using When = AutoLambda::When;
  check(a.effective_share.has_value() != a.kl.has_value(), "absgd",
        "expected either an effective_share or a kl for the lambda that is solved for; got {}", a.kl ? "both" : "neither");
  const double share = a.effective_share.value_or(0.5), kl = a.kl.value_or(1);
  check(share > 0 && share < 1, "absgd", "expected an effective_share in (0, 1); got {}", share);
  check(kl > 0 && std::isfinite(kl), "absgd", "expected a kl above 0 nats; got {}", kl);
  check(a.when != When::dual_step || a.kl, "absgd", "expected a kl with dual_step; got an effective_share");
  check(a.rate > 0 && std::isfinite(a.rate), "absgd", "expected a rate of dual_step above 0; got {}", a.rate);
  check(a.smallest >= 1e-3 && a.smallest <= a.largest && std::isfinite(a.largest), "absgd",
        "expected bounds of |lambda| within [0.001, infinity); got {} to {}", a.smallest, a.largest);
}

// The mean of n and m numbers from those of either.
double mean_of_two(double a, double n, double b, double m) { return n + m > 0 ? a + (b - a) * (m / (n + m)) : 0; }

// z_i + log q_i
std::vector<double> tilt(std::span<const double> losses, double lambda, std::span<const double> prior) {
  std::vector<double> z(losses.size());
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = std::clamp(losses[i] / lambda, -kLargest, kLargest);
  if (!prior.empty())
    for (std::size_t i = 0; i < z.size(); ++i) z[i] += std::log(prior[i]);
  return z;
}

}  // namespace

ExponentialWeights::ExponentialWeights(const ExponentialWeightsOptions& options)
    : gamma_(options.gamma),
      alpha_(options.alpha),
      min_share_(options.min_share),
      start_(options.start),
      auto_(options.auto_lambda) {
  check_lambda(options.lambda);
  check(gamma_ > 0 && gamma_ <= 1, "absgd", "expected gamma in (0, 1]; got {}", gamma_);
  check(alpha_ > 0 && alpha_ <= 1, "absgd", "expected alpha in (0, 1]; got {}", alpha_);
  check(min_share_ >= 0 && min_share_ < 1, "absgd", "expected min_share in [0, 1); got {}", min_share_);
  if (auto_) {
    check_auto(*auto_);
    check(start_ != Start::official, "absgd",
          "expected a start other than official where lambda is solved for: it does not rescale u");
  }
  if (auto_ && auto_->when == AutoLambda::When::every_batch) gamma_ = 1;
  clip_ = options.clip.value_or(start_ == Start::official || gamma_ == 1 ? kInfinity : kDefaultClip);
  check(clip_ >= 0, "absgd", "expected a clip of at least 0 nats (infinity for none); got {}", clip_);
  average_.lambda = options.lambda;
}

bool ExponentialWeights::in_parts() const { return !auto_ || auto_->when == AutoLambda::When::on_adapt; }

double ExponentialWeights::log_divisor() const { return std::isfinite(log_u()) ? log_u() : 0; }

double ExponentialWeights::gamma_of(std::int64_t n, std::int64_t batch_size) const {
  if (start_ == Start::official || n == batch_size) return gamma_;
  return -std::expm1(static_cast<double>(n) / static_cast<double>(batch_size) * std::log1p(-gamma_));
}

double ExponentialWeights::objective(const Average& a) const {
  if (a.mass == 0) return 0;
  return std::isinf(a.lambda) ? a.mean_loss : a.lambda * (level(a) - std::log(a.mean_prior));
}

void ExponentialWeights::change_lambda(Average& a, double lambda) const {
  if (start_ != Start::official && a.mass > 0 && !std::isinf(lambda))
    a.log_u = std::clamp(objective(a) / lambda, -kLargest, kLargest) + std::log(alpha_) + std::log(a.mean_prior);
  a.lambda = lambda;
}

void ExponentialWeights::set_lambda(double lambda) {
  check_lambda(lambda);
  check(!is_open(), "absgd", "expected a new lambda between batches; got one between the parts of a batch");
  if (lambda != average_.lambda) change_lambda(average_, lambda);
}

// The lambda that has the wanted concentration on this batch; on a batch of equal losses every one has, and the last stays.
void ExponentialWeights::solve(Average& average, const Batch& batch, bool update) {
  const LambdaRange range{average.lambda < 0 ? -1.0 : 1.0, auto_->smallest, auto_->largest};
  const LambdaSolution found = auto_->kl
                                   ? lambda_for_kl(batch.losses, batch.prior, *auto_->kl, range)
                                   : lambda_for_effective_share(batch.losses, batch.prior, *auto_->effective_share, range);
  const auto [least, most] = std::minmax_element(batch.losses.begin(), batch.losses.end());
  if (*least < *most) change_lambda(average, found.lambda);
  if (update) lambda_clamped_ = found.clamped;
}

void ExponentialWeights::adapt() {
  if (!auto_ || auto_->when != AutoLambda::When::on_adapt || seen_losses_.empty()) return;
  check(!is_open(), "absgd", "expected adapt() between batches; got it between the parts of a batch");
  const bool has_mass = seen_priors_.empty() || *std::max_element(seen_priors_.begin(), seen_priors_.end()) > 0;
  if (!std::isinf(average_.lambda) && has_mass) solve(average_, {.losses = seen_losses_, .prior = seen_priors_}, true);
  seen_losses_.clear();
  seen_priors_.clear();
}

// Applies the clip to z and notes how many it touched, and whether all of z is out of the average's reach.
void ExponentialWeights::bound(std::span<double> z, const Average& average, Pool& pool) const {
  if (std::isinf(clip_)) {
    pool.far = false;
    return;
  }
  const double reach = std::log(static_cast<double>(average.batch_size)) + clip_;
  const bool has_level = gamma_ < 1 && average.log_u > -kInfinity;
  double middle;
  if (has_level) {
    middle = level(average);
    const auto [lowest, highest] = std::minmax_element(z.begin(), z.end());
    bool far = *highest < middle - reach || *lowest > middle + reach;
    if (!far && *lowest < middle - reach) {  // else the mean of exp(z) cannot be that low
      const LogMeanExp b = log_mean_exp(z);
      far = b.max + b.offset < middle - reach;
    }
    pool.far = pool.far && far;
  } else {
    std::vector<double> with_mass;
    std::copy_if(z.begin(), z.end(), std::back_inserter(with_mass), [](double v) { return v > -kInfinity; });
    middle = with_mass.empty() ? 0 : batch_median(with_mass);
    pool.far = false;
  }
  for (double& v : z) {
    pool.clipped += v > middle + reach;
    v = std::min(v, middle + reach);
  }
}

// What a part of a batch adds to the pool besides its z: the means of q, of what q was, and of q loss over that of q.
void ExponentialWeights::pool_priors(const Batch& batch, Pool& pool) const {
  const double now = static_cast<double>(batch.losses.size()), earlier = static_cast<double>(pool.samples);
  double prior = 0, prior_before = 0, loss = 0;
  for (std::size_t i = 0; i < batch.losses.size(); ++i) {
    prior += batch.q(i) / now;
    prior_before += (batch.prior_before.empty() ? 1 : batch.prior_before[i]) / now;
  }
  for (std::size_t i = 0; i < batch.losses.size() && prior > 0; ++i) loss += batch.losses[i] / now * (batch.q(i) / prior);
  pool.loss = mean_of_two(pool.loss, earlier * pool.prior, loss, now * prior);
  pool.prior = mean_of_two(pool.prior, earlier, prior, now);
  pool.prior_before = mean_of_two(pool.prior_before, earlier, prior_before, now);
}

// u and the mean of q, from what they would be under the prior that was to what they are under the new one: this batch, which
// has both, says by how much they differ.
void ExponentialWeights::change_prior(Average& next, const Batch& batch, Pool& pool) const {
  if (!std::isinf(next.lambda)) {
    const auto part = static_cast<std::int64_t>(batch.losses.size());
    pool.free = merge(pool.free, pool.samples, log_mean_exp(tilt(batch.losses, next.lambda, batch.prior)), part);
    pool.free_before =
        merge(pool.free_before, pool.samples, log_mean_exp(tilt(batch.losses, next.lambda, batch.prior_before)), part);
    const double shift = (pool.free.max - pool.free_before.max) + (pool.free.offset - pool.free_before.offset);
    if (std::isfinite(shift)) next.log_u += shift;
  }
  if (pool.prior > 0 && pool.prior_before > 0) next.mean_prior *= pool.prior / pool.prior_before;
}

void ExponentialWeights::spread(const Batch& batch, double lambda, std::span<double> weights) const {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (min_share_ == 0 || !(total > 0) || effective_share_at(batch.losses, batch.prior, lambda) >= min_share_) return;
  const LambdaRange range{.sign = lambda < 0 ? -1.0 : 1.0};
  const double milder = lambda_for_effective_share(batch.losses, batch.prior, min_share_, range).lambda;
  const std::vector<double> z = tilt(batch.losses, milder, batch.prior);
  const LogMeanExp b = log_mean_exp(z);
  const double mean = total / static_cast<double>(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) weights[i] = mean * std::exp((z[i] - b.max) - b.offset);
}

void ExponentialWeights::compute(const Batch& batch, std::span<double> weights, bool update) {
  const Average before = batch.first_part ? average_ : before_;
  Pool pool = batch.first_part ? Pool{} : pool_;
  Average next = before;
  if (next.far_batches >= kPatience)
    next = {.lambda = next.lambda, .batch_size = next.batch_size, .restarts = next.restarts + 1};
  const auto n = static_cast<std::int64_t>(batch.losses.size());
  next.batch_size = std::max(next.batch_size, pool.samples + n);
  pool_priors(batch, pool);
  if (auto_ && auto_->when == AutoLambda::When::every_batch && !std::isinf(next.lambda) && pool.prior > 0)
    solve(next, batch, update);
  if (next.mass > 0 && (!batch.prior_before.empty() || (!batch.prior.empty() && !next.has_prior)))
    change_prior(next, batch, pool);
  next.has_prior = !batch.prior.empty();

  std::vector<double> z;
  if (!std::isinf(next.lambda)) {
    z = tilt(batch.losses, next.lambda, batch.prior);
    bound(z, next, pool);
    pool.z = merge(pool.z, pool.samples, log_mean_exp(z), n);
    next.far_batches = pool.far ? next.far_batches + 1 : 0;
  }
  pool.samples += n;

  if (pool.prior > 0) {
    const double gamma = gamma_of(pool.samples, next.batch_size);
    const bool first = next.mass == 0;
    next.mass = start_ == Start::bias_corrected ? next.mass + gamma * (1 - next.mass) : 1;
    const double eta = first ? 1 : gamma / next.mass;
    next.mean_prior = first ? pool.prior : next.mean_prior + eta * (pool.prior - next.mean_prior);
    next.mean_loss = first ? pool.loss : (1 - eta) * next.mean_loss + eta * pool.loss;
    if (z.empty()) {
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = batch.q(i) / next.mean_prior;
    } else {
      // Everything relative to the batch's largest z, so that digits survive where z and log u are huge.
      const double rate = start_ == Start::official ? gamma_ : eta;
      const double offset =
          log_add_exp(std::log1p(-rate) + (next.log_u - pool.z.max), std::log(rate) + std::log(alpha_) + pool.z.offset);
      next.log_u = pool.z.max + offset;
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::exp((z[i] - pool.z.max) - offset);
      spread(batch, next.lambda, weights);
    }
  } else {
    std::fill(weights.begin(), weights.end(), 0.0);
    next = before;
  }
  if (!update) return;
  before_ = before;
  average_ = next;
  pool_ = pool;
  if (auto_ && auto_->when == AutoLambda::When::dual_step) dual_step(batch);
  if (auto_ && auto_->when == AutoLambda::When::on_adapt) {
    if (!batch.prior.empty()) seen_priors_.resize(seen_losses_.size(), 1);
    seen_losses_.insert(seen_losses_.end(), batch.losses.begin(), batch.losses.end());
    if (!batch.prior.empty() || !seen_priors_.empty())
      for (std::size_t i = 0; i < weights.size(); ++i) seen_priors_.push_back(batch.q(i));
  }
}

void ExponentialWeights::dual_step(const Batch& batch) {
  if (std::isinf(average_.lambda) || !(pool_.prior > 0)) return;
  const double size = std::abs(average_.lambda);
  const double next = size - auto_->rate * (*auto_->kl - kl_at(batch.losses, batch.prior, average_.lambda));
  const double bounded = std::clamp(next, auto_->smallest, auto_->largest);
  lambda_clamped_ = bounded != next;
  change_lambda(average_, std::copysign(bounded, average_.lambda));
}

double ExponentialWeights::log_u() const { return std::isinf(lambda()) ? std::log(average_.mean_prior) : average_.log_u; }

std::vector<std::pair<std::string, double>> ExponentialWeights::diagnostics() const {
  auto all = Reduction::diagnostics();
  all.insert(all.end(), {{"lambda", lambda()},
                         {"log_u", log_u()},
                         {"batch_log_mean_exp", batch_log_mean_exp()},
                         {"objective", objective()},
                         {"clipped", static_cast<double>(clipped())},
                         {"restarts", static_cast<double>(restarts())},
                         {"lambda_clamped", lambda_clamped_ ? 1.0 : 0.0}});
  return all;
}

std::map<std::string, Tensor> ExponentialWeights::state() const {
  std::map<std::string, Tensor> all = {{"lambda", number(average_.lambda)},
                                       {"log_u", number(average_.log_u)},
                                       {"mass", number(average_.mass)},
                                       {"moving_mean_prior", number(average_.mean_prior)},
                                       {"moving_mean_loss", number(average_.mean_loss)},
                                       {"batch_size", number(static_cast<double>(average_.batch_size))},
                                       {"far_batches", number(static_cast<double>(average_.far_batches))},
                                       {"restarts", number(static_cast<double>(average_.restarts))},
                                       {"has_prior", number(average_.has_prior ? 1 : 0)},
                                       {"lambda_clamped", number(lambda_clamped_ ? 1 : 0)}};
  if (!seen_losses_.empty()) all["seen_losses"] = Tensor::from(seen_losses_);
  if (!seen_priors_.empty()) all["seen_priors"] = Tensor::from(seen_priors_);
  return all;
}

void ExponentialWeights::load_state(const std::map<std::string, Tensor>& state) {
  const auto take = [&](const char* key) { return take_number(state, key, name()); };
  const auto take_all = [&](const char* key) {
    const auto found = state.find(key);
    return found == state.end() ? std::vector<double>{} : found->second.to_vector<double>();
  };
  Average average{.lambda = take("lambda"),
                  .log_u = take("log_u"),
                  .mass = take("mass"),
                  .mean_prior = take("moving_mean_prior"),
                  .mean_loss = take("moving_mean_loss"),
                  .batch_size = static_cast<std::int64_t>(take("batch_size")),
                  .far_batches = static_cast<std::int64_t>(take("far_batches")),
                  .restarts = static_cast<std::int64_t>(take("restarts")),
                  .has_prior = take("has_prior") != 0};
  check_lambda(average.lambda);
  const bool sound = average.mass >= 0 && average.mass <= 1 && (average.mass == 0 || average.mean_prior > 0) &&
                     std::isfinite(average.mean_prior) && std::isfinite(average.mean_loss) && !std::isnan(average.log_u) &&
                     average.log_u < kInfinity && average.batch_size >= 0;
  check(sound, name(),
        "expected the state of a running average; got mass {}, log_u {}, moving_mean_prior {}, moving_mean_loss {}, batch_size "
        "{}",
        average.mass, average.log_u, average.mean_prior, average.mean_loss, average.batch_size);
  lambda_clamped_ = take("lambda_clamped") != 0;
  average_ = average;
  seen_losses_ = take_all("seen_losses");
  seen_priors_ = take_all("seen_priors");
}

}  // namespace heft::optim
