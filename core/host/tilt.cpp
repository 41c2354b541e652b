#include "core/tilt.h"

#include <cstring>
#include <vector>

#include "core/host/host_backend.h"

namespace heft {

TiltResult HostBackend::tilt(const Tensor& losses, const Tensor& prior, const Tensor& prior_before,
                             const tilt::Options& options, Tensor& state, bool update) {
  const std::vector<double> values = losses.to_vector<double>();
  std::vector<double> scratch(values.size());
  const auto entries = [](const Tensor& x) { return x.defined() ? x.data<double>() : nullptr; };
  const tilt::Batch batch{
      .n = losses.numel(), .losses = values.data(), .prior = entries(prior), .prior_before = entries(prior_before)};
  tilt::State next;
  std::memcpy(&next, state.raw(), sizeof next);
  Tensor weights = Tensor::empty(losses.shape(), DType::f64);
  const double value =
      tilt::step(tilt::OneThread{}, options, batch, next, update, weights.mutable_data<double>(), scratch.data());
  if (update) std::memcpy(state.mutable_raw(), &next, sizeof next);
  Tensor seed = Tensor::empty(losses.shape(), DType::f64);
  const double* w = weights.data<double>();
  for (std::int64_t i = 0; i < batch.n; ++i) seed.mutable_data<double>()[i] = w[i] / static_cast<double>(batch.n);
  return {weights, seed.astype(losses.dtype()), Tensor::scalar(value, losses.dtype())};
}

}  // namespace heft
