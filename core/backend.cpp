#include "core/backend.h"

#include <cmath>
#include <cstring>

#include "core/ops.h"
#ifdef HEFT_ONEDNN
#include "core/cpu/cpu_backend.h"
#endif

namespace heft {
namespace {
thread_local Backend* scoped_backend = nullptr;
}

Backend& cpu_backend() {
#ifdef HEFT_ONEDNN
  return onednn_backend();
#else
  return reference_backend();
#endif
}

Backend& backend_for(Device device, DType dtype) {
  if (device.is_cuda()) return cuda_backend();
  if (scoped_backend) return *scoped_backend;
  return dtype == DType::f64 ? reference_backend() : cpu_backend();
}

BackendScope::BackendScope(Backend& backend) : previous_(scoped_backend) { scoped_backend = &backend; }
BackendScope::~BackendScope() { scoped_backend = previous_; }

Tensor Backend::conv2d_prepare_weight(const Tensor& weight, const Tensor&, const Conv2dGeometry&) { return weight; }

Tensor Backend::linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor y = matmul(x.unsqueeze(0), weight.unsqueeze(0), false, true).squeeze(0);
  return bias.defined() ? y + bias : y;
}

namespace {

class Rerun final : public Recording {
 public:
  explicit Rerun(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

}  // namespace

std::unique_ptr<Recording> Backend::record(const std::function<void()>& work) {
  work();
  return std::make_unique<Rerun>(work);
}

void Backend::sgd_steps(std::vector<SgdTarget>& targets, const SgdStep& step, const Tensor& factors, const Tensor& hold) {
  const std::vector<double> factor = factors.to_vector<double>();
  std::int64_t held = 0;
  if (hold.defined()) {
    const Tensor bytes = hold.to(Device::cpu());
    std::memcpy(&held, bytes.raw(), sizeof held);
  }
  if (held != 0 || factor[0] == 0) return;
  for (SgdTarget& target : targets) {
    SgdStep one = step;
    one.lr = factor[static_cast<std::size_t>(1 + target.group)];
    one.weight_decay = target.weight_decay;
    one.first = target.first;
    sgd_step(target.parameter, factor[0] == 1 ? target.gradient : target.gradient * factor[0], target.velocity, one);
  }
}

void Backend::clip_factor(const std::vector<Tensor>& gradients, double largest, double scale, Tensor& factors) {
  double squares = 0;
  for (const Tensor& gradient : gradients) squares += sum_squares(gradient).item<double>();
  const double norm = std::sqrt(squares) * scale;
  if (!std::isfinite(norm)) {
    Tensor failures = factors.slice(0, factors.numel() - 1, factors.numel());
    failures.copy_(failures + 1.0);
  }
  factors.slice(0, 0, 1).fill_(!std::isfinite(norm) ? 0 : norm > largest ? scale * (largest / norm) : scale);
}

Tensor Backend::sum_squares(const Tensor& x) {
  const Tensor wide = x.contiguous().astype(DType::f64);
  return sum(wide * wide);
}

}  // namespace heft
