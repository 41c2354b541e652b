#include "optim/reduction.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/ops.h"
#include "optim/batch_sums.h"

namespace heft::optim {
namespace {

std::vector<double> on_host(const Tensor& losses) { return losses.to(Device::cpu()).to_vector<double>(); }

}  // namespace

std::vector<double> Reduction::weigh_read(std::span<const double> losses, bool update) {
  for (std::size_t i = 0; i < losses.size(); ++i)
    check<NumericError>(std::isfinite(losses[i]), name(), "expected finite losses; got {} at sample {} of {}",
                        std::isnan(losses[i]) ? "nan"
                        : losses[i] > 0       ? "inf"
                                              : "-inf",
                        i, losses.size());
  std::vector<double> weights(losses.size());
  compute(losses, weights, update);
  if (update) {
    weights_ = weights;
    mean_loss_ = batch_mean(losses);
  }
  return weights;
}

std::vector<double> Reduction::weigh(std::span<const double> losses) {
  check<ShapeError>(!losses.empty(), name(), "expected at least one loss; got an empty batch");
  return weigh_read(losses, grad_enabled());
}

Variable Reduction::reduce(const Variable& losses) {
  const Shape& shape = losses.shape();
  check<ShapeError>(shape.rank() == 1, name(), "expected losses of shape (N), one per sample; got {}", shape);
  check<ShapeError>(shape[0] > 0, name(), "expected at least one loss; got an empty batch");
  check<DTypeError>(is_floating(losses.dtype()), name(), "expected losses of f32 or f64; got {}", losses.dtype());
  const std::vector<double> host = on_host(losses.value());
  std::vector<double> weights = weigh_read(host, grad_enabled());
  const double value = batch_mean(weights, host);
  for (double& w : weights) w /= static_cast<double>(host.size());
  const Tensor seed = Tensor::from(weights).astype(losses.dtype()).to(losses.device());
  return record(
      "weighted_mean", Tensor::scalar(value, losses.dtype(), losses.device()),
      {{losses, [seed](const Tensor& dy) { return seed * dy; }, [seed](const Tensor& dx) { return sum(seed * dx); }}});
}

double Reduction::effective_sample_size() const { return optim::effective_sample_size(weights_); }
double Reduction::kl_from_uniform() const { return optim::kl_from_uniform(weights_); }

std::vector<std::pair<std::string, double>> Reduction::diagnostics() const {
  return {
      {"mean_loss", mean_loss()}, {"effective_sample_size", effective_sample_size()}, {"kl_from_uniform", kl_from_uniform()}};
}

void Reduction::load_state(const std::map<std::string, Tensor>&) {}

void Mean::compute(std::span<const double>, std::span<double> weights, bool) { std::fill(weights.begin(), weights.end(), 1.0); }

Tensor number(double value) { return Tensor::scalar(value, DType::f64); }

double take_number(const std::map<std::string, Tensor>& state, const std::string& key, const char* op) {
  const auto found = state.find(key);
  check(found != state.end(), op, "expected an entry '{}' in the state; it is missing", key);
  return found->second.item<double>();
}

}  // namespace heft::optim
