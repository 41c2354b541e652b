#include "optim/reduction.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/backend.h"
#include "core/check.h"
#include "core/ops.h"
#include "optim/batch_sums.h"

namespace heft::optim {
namespace {

std::vector<double> on_host(const Tensor& x) { return x.to(Device::cpu()).to_vector<double>(); }

const char* kind_of(double x) { return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf"; }

void check_entries(const char* op, const char* what, const Tensor& x, std::size_t n) {
  check<ShapeError>(x.rank() == 1 && x.size(0) == static_cast<std::int64_t>(n), op, "expected {} of shape ({},); got {}", what,
                    n, x.shape());
}

std::vector<double> checked_prior(const char* op, const char* what, const Tensor& prior, std::size_t n) {
  if (!prior.defined()) return {};
  check_entries(op, what, prior, n);
  check<DTypeError>(is_floating(prior.dtype()), op, "expected {} of f32 or f64; got {}", what, prior.dtype());
  std::vector<double> q = on_host(prior);
  for (std::size_t i = 0; i < n; ++i)
    check(std::isfinite(q[i]) && q[i] >= 0, op, "expected finite {} of at least 0; got {} at sample {} of {}", what, q[i], i,
          n);
  return q;
}

std::vector<std::int64_t> checked_groups(const char* op, const Tensor& groups, std::size_t n) {
  if (!groups.defined()) return {};
  check_entries(op, "groups", groups, n);
  check<DTypeError>(!is_floating(groups.dtype()) && groups.dtype() != DType::boolean, op, "expected integer groups; got {}",
                    groups.dtype());
  return groups.astype(DType::i64).to(Device::cpu()).to_vector<std::int64_t>();
}

}  // namespace

struct Reduction::Weighed {
  std::vector<double> weights;
  double per_sample;  // what a loss's seed is of its weight: 1/N, and for later parts relative to the first
};

Reduction::Weighed Reduction::weigh_read(std::span<const double> losses, const SampleInfo& about, bool update) {
  const std::size_t n = losses.size();
  for (std::size_t i = 0; i < n; ++i)
    check<NumericError>(std::isfinite(losses[i]), name(), "expected finite losses; got {} at sample {} of {}",
                        kind_of(losses[i]), i, n);
  const std::vector<double> prior = checked_prior(name(), "prior", about.prior, n);
  const std::vector<double> before = checked_prior(name(), "prior_before", about.prior_before, n);
  const std::vector<std::int64_t> groups = checked_groups(name(), about.groups, n);
  check(
      !is_open() || in_parts(), name(),
      "expected one reduce() per step, of the whole batch: the weights depend on all its losses; got a second one (call step() "
      "or zero_grad() in between, or weigh() all losses first and call backward(losses, weights / N) part by part)");
  const Batch batch{losses, prior, before, groups, !is_open()};
  Weighed result{std::vector<double>(n), 1 / static_cast<double>(n)};
  const double divisor_before = log_divisor();
  compute(batch, result.weights, update);
  if (!update) return result;
  remember(batch, result.weights, divisor_before);
  if (open_.samples == 0) open_ = {.first = static_cast<std::int64_t>(n), .log_divisor = log_divisor()};
  else result.per_sample = std::exp(log_divisor() - open_.log_divisor) / static_cast<double>(open_.first);
  open_.samples += static_cast<std::int64_t>(n);
  return result;
}

// What the accessors report is of the whole batch: weights of earlier parts follow the divisor.
void Reduction::remember(const Batch& batch, const std::vector<double>& weights, double log_divisor_before) {
  if (batch.first_part) {
    weights_.clear();
    prior_.clear();
    mean_loss_ = 0;
  }
  const double shrink = std::exp(log_divisor_before - log_divisor());
  for (double& w : weights_) w *= shrink;
  const double earlier = static_cast<double>(open_.samples), now = static_cast<double>(weights.size());
  mean_loss_ += (batch_mean(batch.losses) - mean_loss_) * (now / (earlier + now));
  weights_.insert(weights_.end(), weights.begin(), weights.end());
  prior_.insert(prior_.end(), batch.prior.begin(), batch.prior.end());
}

std::vector<double> Reduction::weigh(std::span<const double> losses, const SampleInfo& about) {
  check<ShapeError>(!losses.empty(), name(), "expected at least one loss; got an empty batch");
  fetch();  // of a batch on a device before
  if (grad_enabled()) finish();
  std::vector<double> weights = weigh_read(losses, about, grad_enabled()).weights;
  if (grad_enabled()) finish();
  return weights;
}

Variable Reduction::reduce(const Variable& losses, const SampleInfo& about) {
  if (grad_enabled()) finish();
  Variable scalar = reduce_part(losses, about);
  if (grad_enabled()) finish();
  return scalar;
}

Variable Reduction::reduce_part(const Variable& losses, const SampleInfo& about) {
  const Shape& shape = losses.shape();
  check<ShapeError>(shape.rank() == 1, name(), "expected losses of shape (N), one per sample; got {}", shape);
  check<ShapeError>(shape[0] > 0, name(), "expected at least one loss; got an empty batch");
  check<DTypeError>(is_floating(losses.dtype()), name(), "expected losses of f32 or f64; got {}", losses.dtype());
  if (losses.device().is_cuda() && !is_open())
    if (const auto options = on_device()) return reduce_on_device(losses, about, *options);
  fetch();  // of a first part on a device
  const std::vector<double> host = on_host(losses.value());
  auto [weights, per_sample] = weigh_read(host, about, grad_enabled());
  double value = 0;
  for (std::size_t i = 0; i < host.size(); ++i) {
    weights[i] *= per_sample;
    value += weights[i] * host[i];
  }
  const Tensor seed = Tensor::from(weights).astype(losses.dtype()).to(losses.device());
  return record(
      "weighted_mean", Tensor::scalar(value, losses.dtype(), losses.device()),
      {{losses, [seed](const Tensor& dy) { return seed * dy; }, [seed](const Tensor& dx) { return sum(seed * dx); }}});
}

Variable Reduction::reduce_on_device(const Variable& losses, const SampleInfo& about, const tilt::Options& options) {
  const Tensor& values = losses.value();
  const auto n = static_cast<std::size_t>(losses.size(0));
  const auto entries = [&](const char* what, const Tensor& x) {
    if (!x.defined()) return Tensor{};
    check_entries(name(), what, x, n);
    check<DTypeError>(is_floating(x.dtype()), name(), "expected {} of f32 or f64; got {}", what, x.dtype());
    return x.to(values.device()).astype(DType::f64).contiguous();
  };
  const Tensor prior = entries("prior", about.prior), before = entries("prior_before", about.prior_before);
  if (!device_.state.defined()) device_.state = Tensor::empty({sizeof(tilt::State)}, DType::u8, values.device());
  upload();
  const TiltResult result =
      backend_for(values).tilt(values.contiguous(), prior, before, options, device_.state, grad_enabled());
  if (grad_enabled()) {
    device_.ahead = true;
    device_.batch = {values, result.weights, prior};
    open_ = {.samples = losses.size(0), .on_device = true, .first = losses.size(0), .log_divisor = 0};
  }
  return record("weighted_mean", result.value,
                {{losses, [seed = result.seed](const Tensor& dy) { return seed * dy; },
                  [seed = result.seed](const Tensor& dx) { return sum(seed * dx); }}});
}

void Reduction::upload() {
  if (!device_.behind || !device_.state.defined()) return;
  Tensor bytes = Tensor::empty({sizeof(tilt::State)}, DType::u8);
  std::memcpy(bytes.mutable_raw(), &state_, sizeof(tilt::State));
  device_.state.copy_(bytes);
  device_.behind = false;
}

// Brings what is known here up to date with the device.
void Reduction::fetch() const {
  if (!device_.ahead) return;
  const Tensor state = device_.state.to(Device::cpu());
  device_.ahead = false;
  const bool is_open = open_.on_device;
  open_.on_device = false;
  take(state, device_.batch);
  if (is_open) open_.log_divisor = log_divisor();
}

void Reduction::take(const Tensor& state, const DeviceBatch& batch) const {
  std::memcpy(&state_, state.raw(), sizeof(tilt::State));
  if (state_.bad_sample != 0) return;
  const std::vector<double> losses = on_host(batch.losses);
  weights_ = on_host(batch.weights);
  prior_ = batch.prior.defined() ? on_host(batch.prior) : std::vector<double>{};
  mean_loss_ = batch_mean(losses);
}

std::unique_ptr<Reduction> Reduction::copy() const {
  std::unique_ptr<Reduction> other = stays_on_device() ? clone() : nullptr;
  if (other) other->open_ = {}, other->device_ = {};
  return other;
}

void Reduction::arrived(const Tensor& state, const DeviceBatch& batch) {
  device_.batch = batch;
  take(state, batch);
}

void Reduction::replayed(const DeviceBatch& batch) {
  device_.batch = batch;
  device_.ahead = true;
}

void Reduction::forget_errors() {
  if (device_.state.defined()) change().bad_sample = 0;
}

const tilt::State& Reduction::known() const {
  fetch();
  return state_;
}

tilt::State& Reduction::change() {
  fetch();
  device_.behind = true;
  return state_;
}

const tilt::State& Reduction::tally() const {
  fetch();
  if (state_.bad_sample == 0) return state_;
  const std::int64_t sample = state_.bad_sample - 1, n = device_.batch.losses.numel(), step = state_.steps + 1;
  if (state_.bad_prior)
    fail<ValueError>(name(), "expected finite prior of at least 0; got another at sample {} of {}, in step {}", sample, n,
                     step);
  fail<NumericError>(name(), "expected finite losses; got another at sample {} of {}, in step {}", sample, n, step);
}

const std::vector<double>& Reduction::weights() const {
  tally();
  return weights_;
}

double Reduction::mean_loss() const {
  tally();
  return mean_loss_;
}

double Reduction::finish() {
  if (!is_open()) return 1;
  if (open_.on_device) {  // in one part
    open_ = {};
    return 1;
  }
  const double factor =
      std::exp(open_.log_divisor - log_divisor()) * static_cast<double>(open_.first) / static_cast<double>(open_.samples);
  open_ = {};
  return factor;
}

double Reduction::effective_sample_size() const { return optim::effective_sample_size(weights()); }
double Reduction::kl_from_uniform() const { return kl_divergence(weights()); }
double Reduction::kl_from_prior() const { return kl_divergence(weights(), prior_); }

std::vector<std::pair<std::string, double>> Reduction::diagnostics() const {
  return {{"mean_loss", mean_loss()},
          {"effective_sample_size", effective_sample_size()},
          {"kl_from_uniform", kl_from_uniform()},
          {"kl_from_prior", kl_from_prior()}};
}

void Reduction::load_state(const std::map<std::string, Tensor>&) {}

void Mean::compute(const Batch& batch, std::span<double> weights, bool) {
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = batch.q(i);
}

Tensor number(double value) { return Tensor::scalar(value, DType::f64); }

double take_number(const std::map<std::string, Tensor>& state, const std::string& key, const char* op) {
  const auto found = state.find(key);
  check(found != state.end(), op, "expected an entry '{}' in the state; it is missing", key);
  return found->second.item<double>();
}

}  // namespace heft::optim
