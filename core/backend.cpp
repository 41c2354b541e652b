#include "core/backend.h"

#include <cmath>
#include <cstring>
#include <limits>

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

std::function<std::vector<Tensor>()> Backend::download(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> copies;
  for (const Tensor& x : tensors) copies.push_back(Tensor::empty(x.shape(), x.dtype()).copy_(x));
  return [copies] { return copies; };
}

Tensor Backend::conv2d_prepare_weight(const Tensor& weight, const Tensor&, const Conv2dGeometry&) { return weight; }

Tensor Backend::linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor y = matmul(x.unsqueeze(0), weight.unsqueeze(0), false, true).squeeze(0);
  return bias.defined() ? y + bias : y;
}

Tensor Backend::linear_relu(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return heft::unary<fn::Relu>(linear(x, weight, bias));
}

Tensor Backend::conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) {
  return heft::unary<fn::Relu>(conv2d(x, weight, bias, geometry));
}

namespace {

Tensor every(const Tensor& x, std::int64_t stride) { return x.slice(2, 0, x.size(2), stride).slice(3, 0, x.size(3), stride); }

}  // namespace

Tensor Backend::subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after) {
  return pad(every(x.contiguous(), stride), {0, before, 0, 0}, {0, after, 0, 0});
}

Tensor Backend::subsample_backward(const Tensor& dy, const Shape& x_shape, std::int64_t stride, std::int64_t before) {
  Tensor dx = Tensor::zeros(x_shape, dy.dtype(), dy.device());
  every(dx, stride).copy_(dy.contiguous().slice(1, before, before + x_shape[1]));
  return dx;
}

WeightGradients Backend::linear_backward_weight(const Tensor& dy, const Tensor& x, bool want_bias) {
  return {matmul(dy.unsqueeze(0), x.unsqueeze(0), true, false).squeeze(0),
          want_bias ? reduce(Reduction::sum, dy.unsqueeze(0)).squeeze(0) : Tensor{}};
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

namespace {

bool holds(const std::vector<double>& factors, const Tensor& hold) {
  std::int64_t held = 0;
  if (hold.defined()) {
    const Tensor bytes = hold.to(Device::cpu());
    std::memcpy(&held, bytes.raw(), sizeof held);
  }
  return held != 0 || factors[0] == 0;
}

}  // namespace

void Backend::sgd_steps(std::vector<SgdTarget>& targets, const SgdStep& step, const Tensor& factors, const Tensor& hold) {
  const std::vector<double> factor = factors.to_vector<double>();
  if (holds(factor, hold)) return;
  for (SgdTarget& target : targets) {
    SgdStep one = step;
    one.lr = factor[static_cast<std::size_t>(1 + target.group)];
    one.weight_decay = target.weight_decay;
    one.first = target.first;
    sgd_step(target.parameter, factor[0] == 1 ? target.gradient : target.gradient * factor[0], target.velocity, one);
  }
}

void Backend::adam_steps(std::vector<AdamTarget>& targets, const AdamStep& step, const Tensor& factors, Tensor& counts,
                         const Tensor& hold) {
  std::vector<double> count = counts.to_vector<double>();
  for (const AdamTarget& target : targets) ++count[static_cast<std::size_t>(target.number)];
  counts.copy_(Tensor::from(count));
  const std::vector<double> factor = factors.to_vector<double>();
  if (holds(factor, hold)) return;
  for (AdamTarget& target : targets) {
    AdamStep one = step;
    one.lr = factor[static_cast<std::size_t>(1 + target.group)];
    one.weight_decay = target.weight_decay;
    one.step = static_cast<std::int64_t>(count[static_cast<std::size_t>(target.number)]);
    adam_step(target.parameter, factor[0] == 1 ? target.gradient : target.gradient * factor[0], target.first_moment,
              target.second_moment, one);
  }
}

void Backend::clip_factor(const std::vector<Tensor>& gradients, double largest, double scale, Tensor& factors) {
  double squares = 0;
  for (const Tensor& gradient : gradients) squares += sum_squares(gradient).item<double>();
  const double norm = std::sqrt(squares) * scale;
  Tensor failures = factors.slice(0, factors.numel() - 1, factors.numel());
  if (!std::isfinite(norm)) failures.copy_(failures + 1.0);
  const bool failed = failures.item<double>() != 0;
  factors.slice(0, 0, 1).fill_(failed ? 0 : norm > largest ? scale * (largest / norm) : scale);
}

Tensor Backend::sum_squares(const Tensor& x) {
  const Tensor wide = x.contiguous().astype(DType::f64);
  return sum(wide * wide);
}

namespace {
void blend(Tensor& running, const Tensor& batch, double momentum) {
  running.copy_(running * (1 - momentum) + batch * momentum);
}
Tensor constant(double value, const Tensor& like) { return Tensor::full(Shape{}, value, like.dtype(), like.device()); }
}  // namespace

BatchNormResult Backend::batch_norm_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                          NormFusion& fusion) {
  BatchNormResult r = batch_norm_train(x, gamma, beta, eps);
  const double n = static_cast<double>(x.numel() / x.size(1));
  if (fusion.running_mean.defined()) blend(fusion.running_mean, r.mean, fusion.momentum);
  if (fusion.running_variance.defined()) blend(fusion.running_variance, r.variance * (n / (n - 1)), fusion.momentum);
  if (fusion.residual.defined()) r.output = r.output + fusion.residual;
  if (fusion.relu) r.kept = r.output = heft::unary<fn::Relu>(r.output);
  return r;
}

Tensor Backend::batch_norm_eval_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                      const Tensor& variance, double eps, const Tensor& residual, bool relu) {
  Tensor y = batch_norm_eval(x, gamma, beta, mean, variance, eps);
  if (residual.defined()) y = y + residual;
  return relu ? heft::unary<fn::Relu>(y) : y;
}

Tensor Backend::conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Conv2dGeometry& geometry, const Tensor& gamma,
                                  const Tensor& beta, const Tensor& mean, const Tensor& variance, double eps,
                                  const Tensor& residual, bool relu) {
  return batch_norm_eval_fused(conv2d(x, weight, {}, geometry), gamma, beta, mean, variance, eps, residual, relu);
}

BatchNormGradients Backend::batch_norm_fused_backward(Tensor dy, const BatchNormResult& forward, const Tensor& x,
                                                      const Tensor& gamma, const Tensor& beta, double eps, bool relu,
                                                      bool want_residual) {
  Tensor y = forward.kept, behind = dy;
  if (relu && !y.defined()) y = batch_norm_eval(x, gamma, beta, forward.mean, forward.variance, eps);
  if (relu) behind = heft::unary_backward<fn::Relu>(y, y, dy);
  BatchNormGradients gradients = batch_norm_backward(behind, x, gamma, forward.mean, forward.variance, eps);
  if (want_residual) gradients.residual = behind;
  return gradients;
}

namespace {
constexpr double kLowest = CrossEntropyResult::kLowest;
constexpr double kNone = -std::numeric_limits<double>::infinity();
}  // namespace

// Saved is the logarithm of the softmax, and -infinity where a logit was clamped: there it has no gradient.
CrossEntropyResult Backend::cross_entropy(const Tensor& logits, const Tensor& labels) {
  const Tensor largest = max(logits, {1}, true);
  const Tensor differences = logits - (largest + largest * 0.0);  // 0 times infinity: the row becomes NaN
  const Tensor log_p = log_softmax(heft::unary(differences, fn::Clamp{.low = kLowest}), 1);
  const Tensor at_label = heft::gather(log_p, 1, labels.reshape({-1, 1})).reshape({logits.size(0)});
  const Tensor clamped = heft::compare<fn::Less>(differences, constant(kLowest, logits));
  return {heft::unary(-at_label, fn::Clamp{.low = 0}), heft::where(clamped, constant(kNone, logits), log_p)};
}

Tensor Backend::cross_entropy_backward(const Tensor& saved, const Tensor& labels, const Tensor& dlosses) {
  const Tensor index = labels.reshape({-1, 1});
  const Tensor losses = -heft::gather(saved, 1, index).reshape({saved.size(0)});  // before those below 0 became 0
  const Tensor g = -heft::unary_backward(losses, losses, dlosses, fn::Clamp{.low = 0});
  const Tensor spread = heft::gather_backward(g.reshape({-1, 1}), 1, index, saved.size(1));
  const Tensor has_gradient = heft::compare<fn::Greater>(saved, constant(kNone, saved));
  return heft::where(has_gradient, heft::softmax_backward(saved, spread, 1, true), constant(0, saved));
}

}  // namespace heft
