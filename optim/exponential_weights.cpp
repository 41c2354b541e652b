#include "optim/exponential_weights.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "optim/solve_lambda.h"

namespace heft::optim {
namespace {

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

}  // namespace

ExponentialWeights::ExponentialWeights(const ExponentialWeightsOptions& options)
    : tilt_{.gamma = options.gamma, .alpha = options.alpha, .min_share = options.min_share, .start = options.start},
      auto_(options.auto_lambda) {
  check_lambda(options.lambda);
  check(tilt_.gamma > 0 && tilt_.gamma <= 1, "absgd", "expected gamma in (0, 1]; got {}", tilt_.gamma);
  check(tilt_.alpha > 0 && tilt_.alpha <= 1, "absgd", "expected alpha in (0, 1]; got {}", tilt_.alpha);
  check(tilt_.min_share >= 0 && tilt_.min_share < 1, "absgd", "expected min_share in [0, 1); got {}", tilt_.min_share);
  if (auto_) {
    check_auto(*auto_);
    check(tilt_.start != Start::official, "absgd",
          "expected a start other than official where lambda is solved for: it does not rescale u");
    tilt_.smallest = auto_->smallest;
    tilt_.largest = auto_->largest;
    if (auto_->when == AutoLambda::When::every_batch) tilt_.gamma = 1;
    if (auto_->when == AutoLambda::When::dual_step) tilt_.dual_rate = auto_->rate;
  }
  const bool no_memory = tilt_.start == Start::official || tilt_.gamma == 1;
  tilt_.clip = options.clip.value_or(no_memory ? kInfinity : kDefaultClip);
  check(tilt_.clip >= 0, "absgd", "expected a clip of at least 0 nats (infinity for none); got {}", tilt_.clip);
  change().average.lambda = options.lambda;
}

bool ExponentialWeights::in_parts() const { return !auto_ || auto_->when == AutoLambda::When::on_adapt; }

double ExponentialWeights::log_divisor() const { return std::isfinite(log_u()) ? log_u() : 0; }

// What is solved for on a batch, or approached after it, is part of the options.
tilt::Options ExponentialWeights::options_now() const {
  tilt::Options options = tilt_;
  if (!auto_) return options;
  options.target = auto_->kl ? *auto_->kl : *auto_->effective_share;
  if (auto_->when == AutoLambda::When::every_batch)
    options.solve = auto_->kl ? tilt::Target::kl : tilt::Target::effective_share;
  return options;
}

std::optional<tilt::Options> ExponentialWeights::on_device() const {
  if (auto_ && auto_->when == AutoLambda::When::on_adapt) return {};  // gathers losses on the host
  return options_now();
}

void ExponentialWeights::set_lambda(double lambda) {
  check_lambda(lambda);
  check(!is_open(), "absgd", "expected a new lambda between batches; got one between the parts of a batch");
  if (lambda != this->lambda()) tilt::change_lambda(tilt_, change().average, lambda);
}

void ExponentialWeights::adapt() {
  if (!auto_ || auto_->when != AutoLambda::When::on_adapt || seen_losses_.empty()) return;
  check(!is_open(), "absgd", "expected adapt() between batches; got it between the parts of a batch");
  const bool has_mass = seen_priors_.empty() || *std::max_element(seen_priors_.begin(), seen_priors_.end()) > 0;
  if (!std::isinf(lambda()) && has_mass) solve_on_seen();
  seen_losses_.clear();
  seen_priors_.clear();
}

// Where all losses are equal every lambda has the wanted concentration, and the last one stays.
void ExponentialWeights::solve_on_seen() {
  const LambdaRange range{lambda() < 0 ? -1.0 : 1.0, auto_->smallest, auto_->largest};
  const LambdaSolution found = auto_->kl
                                   ? lambda_for_kl(seen_losses_, seen_priors_, *auto_->kl, range)
                                   : lambda_for_effective_share(seen_losses_, seen_priors_, *auto_->effective_share, range);
  const auto [least, most] = std::minmax_element(seen_losses_.begin(), seen_losses_.end());
  if (*least < *most) tilt::change_lambda(tilt_, change().average, found.lambda);
  change().clamped = found.clamped;
}

void ExponentialWeights::compute(const Batch& batch, std::span<double> weights, bool update) {
  const tilt::OneThread team;
  const tilt::Options options = options_now();
  const tilt::Batch part{.n = static_cast<std::int64_t>(batch.losses.size()),
                         .losses = batch.losses.data(),
                         .prior = batch.prior.empty() ? nullptr : batch.prior.data(),
                         .prior_before = batch.prior_before.empty() ? nullptr : batch.prior_before.data()};
  tilt::State next = known();
  if (batch.first_part) {
    next.before = next.average;
    next.pool = {};
  }
  std::vector<double> scratch(weights.size());
  tilt::weigh(team, options, part, next.before, next.average, next.pool, next.clamped, weights.data(), scratch.data());
  if (!update) return;
  if (options.dual_rate > 0) tilt::dual_step(team, options, part, next.average, next.pool, next.clamped);
  change() = next;
  if (auto_ && auto_->when == AutoLambda::When::on_adapt) {
    if (!batch.prior.empty()) seen_priors_.resize(seen_losses_.size(), 1);
    seen_losses_.insert(seen_losses_.end(), batch.losses.begin(), batch.losses.end());
    if (!batch.prior.empty() || !seen_priors_.empty())
      for (std::size_t i = 0; i < weights.size(); ++i) seen_priors_.push_back(batch.q(i));
  }
}

double ExponentialWeights::log_u() const {
  const tilt::Average& average = known().average;
  return std::isinf(average.lambda) ? std::log(average.mean_prior) : average.log_u;
}

std::vector<std::pair<std::string, double>> ExponentialWeights::diagnostics() const {
  auto all = Reduction::diagnostics();
  all.insert(all.end(), {{"lambda", lambda()},
                         {"log_u", log_u()},
                         {"batch_log_mean_exp", batch_log_mean_exp()},
                         {"objective", objective()},
                         {"clipped", static_cast<double>(clipped())},
                         {"restarts", static_cast<double>(restarts())},
                         {"lambda_clamped", lambda_clamped() ? 1.0 : 0.0}});
  return all;
}

std::map<std::string, Tensor> ExponentialWeights::state() const {
  const tilt::Average& average = known().average;
  std::map<std::string, Tensor> all = {{"lambda", number(average.lambda)},
                                       {"log_u", number(average.log_u)},
                                       {"mass", number(average.mass)},
                                       {"moving_mean_prior", number(average.mean_prior)},
                                       {"moving_mean_loss", number(average.mean_loss)},
                                       {"batch_size", number(static_cast<double>(average.batch_size))},
                                       {"far_batches", number(static_cast<double>(average.far_batches))},
                                       {"restarts", number(static_cast<double>(average.restarts))},
                                       {"has_prior", number(average.has_prior ? 1 : 0)},
                                       {"lambda_clamped", number(lambda_clamped() ? 1 : 0)}};
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
  tilt::Average average{.lambda = take("lambda"),
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
  const bool clamped = take("lambda_clamped") != 0;
  change().average = average;
  change().clamped = clamped;
  seen_losses_ = take_all("seen_losses");
  seen_priors_ = take_all("seen_priors");
}

}  // namespace heft::optim
