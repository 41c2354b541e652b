#include "layers/losses_noise.h"

#include <algorithm>
#include <cmath>

#include "autograd/elementwise.h"
#include "autograd/norm.h"
#include "core/check.h"
#include "layers/loss_terms.h"

namespace heft {
namespace {

Variable surprise_at(const char* op, const Variable& logits, const Tensor& labels) {
  return loss::surprise(loss::log_probabilities(logits), loss::checked_labels(op, logits, labels));
}

void check_q(const char* op, double q) { check(q >= 1e-6 && q <= 1, op, "expected q in [1e-6, 1]; got {}", q); }

// (1 - p^q) / q, from -log p.
Variable generalized(const Variable& surprise, double q) { return expm1(surprise * -q) * (-1 / q); }

}  // namespace

Variable symmetric_cross_entropy(const Variable& logits, const Tensor& labels, const SymmetricCrossEntropyOptions& options) {
  constexpr const char* op = "symmetric_cross_entropy";
  const auto [alpha, beta, log_zero] = options;
  check(alpha >= 0 && std::isfinite(alpha), op, "expected a finite alpha >= 0; got {}", alpha);
  check(beta >= 0 && std::isfinite(beta), op, "expected a finite beta >= 0; got {}", beta);
  check(log_zero < 0 && std::isfinite(log_zero), op, "expected a finite log_zero < 0; got {}", log_zero);
  const Variable surprise = surprise_at(op, logits, labels);
  return surprise * alpha + expm1(-surprise) * (beta * log_zero);
}

Variable generalized_cross_entropy(const Variable& logits, const Tensor& labels,
                                   const GeneralizedCrossEntropyOptions& options) {
  constexpr const char* op = "generalized_cross_entropy";
  check_q(op, options.q);
  return generalized(surprise_at(op, logits, labels), options.q);
}

TruncatedGce::TruncatedGce(std::int64_t samples, const TruncatedGceOptions& options) : options_(options) {
  constexpr const char* op = "TruncatedGce";
  check(samples >= 1, op, "expected samples >= 1; got {}", samples);
  check_q(op, options.q);
  check(options.k >= 0 && options.k < 1, op, "expected k in [0, 1); got {}", options.k);
  kept_.assign(static_cast<std::size_t>(samples), 1);
}

std::vector<std::int64_t> TruncatedGce::checked_indices(const Tensor& indices, std::int64_t n) const {
  constexpr const char* op = "TruncatedGce";
  check<ShapeError>(indices.defined() && indices.shape() == Shape{n}, op, "expected indices ({},), one per label; got {}", n,
                    indices.defined() ? indices.shape().str() : "none");
  check<DTypeError>(!is_floating(indices.dtype()) && indices.dtype() != DType::boolean, op, "expected integer indices; got {}",
                    indices.dtype());
  std::vector<std::int64_t> all = indices.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < all.size(); ++i)
    check(all[i] >= 0 && all[i] < samples(), op, "expected indices in [0, {}); got {} at sample {}", samples(), all[i], i);
  return all;
}

Variable TruncatedGce::operator()(const Variable& logits, const Tensor& labels, const Tensor& indices) const {
  const auto [q, k] = options_;
  const Variable losses = generalized(surprise_at("TruncatedGce", logits, labels), q);
  std::vector<double> kept;
  for (const std::int64_t index : checked_indices(indices, losses.size(0)))
    kept.push_back(kept_[static_cast<std::size_t>(index)]);
  const Tensor v = Tensor::from(kept).astype(losses.dtype()).to(losses.device());
  return (losses - (1 - std::pow(k, q)) / q) * v;
}

void TruncatedGce::update(const Variable& logits, const Tensor& labels, const Tensor& indices) {
  const std::vector<double> surprise = surprise_at("TruncatedGce", logits.detach(), labels).value().to_vector<double>();
  const std::vector<std::int64_t> places = checked_indices(indices, logits.size(0));
  for (std::size_t i = 0; i < places.size(); ++i)
    kept_[static_cast<std::size_t>(places[i])] = surprise[i] < -std::log(options_.k) ? 1 : 0;
}

std::int64_t TruncatedGce::pruned() const { return std::count(kept_.begin(), kept_.end(), 0); }

std::map<std::string, Tensor> TruncatedGce::state() const { return {{"kept", Tensor::from(kept_)}}; }

void TruncatedGce::load_state(const std::map<std::string, Tensor>& state) {
  constexpr const char* op = "TruncatedGce";
  const auto found = state.find("kept");
  check(found != state.end(), op, "expected an entry 'kept' in the state; it is missing");
  check<ShapeError>(found->second.shape() == Shape{samples()}, op, "expected kept of shape ({},); got {}", samples(),
                    found->second.shape());
  const std::vector<double> values = found->second.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i)
    check(values[i] == 0 || values[i] == 1, op, "expected kept of 0 and 1; got {} for sample {}", values[i], i);
  kept_.assign(values.begin(), values.end());
}

Variable normalize_logits(const Variable& logits, double tau) {
  constexpr const char* op = "normalize_logits";
  check<ShapeError>(logits.rank() == 2, op, "expected logits (N, C); got {}", logits.shape());
  check(tau >= 0 && tau <= 2, op, "expected tau in [0, 2]; got {}", tau);
  return l2_normalize(logits, tau);
}

}  // namespace heft
