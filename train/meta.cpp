#include "train/meta.h"

#include <algorithm>
#include <cmath>

#include "autograd/jvp.h"
#include "autograd/reduce.h"
#include "core/check.h"
#include "core/ops.h"
#include "layers/losses.h"

namespace heft::train {
namespace {

// While one lives, the network has copies for buffers; then it has the very tensors back, so that graphs recorded before
// find what they saved as it was.
class BorrowedBuffers {
 public:
  explicit BorrowedBuffers(Module& net) {
    for (const auto& [name, buffer] : net.named_buffers()) others_.emplace_back(buffer, buffer->clone());
    exchange();
  }
  ~BorrowedBuffers() { exchange(); }
  BorrowedBuffers(const BorrowedBuffers&) = delete;
  BorrowedBuffers& operator=(const BorrowedBuffers&) = delete;

 private:
  void exchange() {
    for (auto& [buffer, other] : others_) std::swap(*buffer, other);
  }
  std::vector<std::pair<Tensor*, Tensor>> others_;
};

}  // namespace

MetaStep MetaReweighter::step(Module& net, optim::Optimizer& opt, const data::Batch& batch, const data::Batch& meta,
                              const MetaStepOptions& options) {
  check(&opt.reduction() == this, name(), "expected an optimizer built with this reduction; its own is '{}'",
        opt.reduction().name());
  check<AutogradError>(grad_enabled(), name(), "expected a step outside of NoGrad: nothing is recorded there");
  Weighed weighed = weigh_batch({net, opt, batch, meta, options});
  found_ = std::move(weighed.shares);
  for (double& share : found_) share *= static_cast<double>(batch.size());
  opt.zero_grad();
  backward(opt.reduce(weighed.forward.losses));
  opt.step();
  return {weighed.forward.outputs.value(), weighed.forward.losses.value()};
}

MetaReweighter::Forward MetaReweighter::forward(Module& net, const data::Batch& batch, const Loss& loss,
                                                const char* which) const {
  const Variable outputs = net(batch.images);
  Forward result{outputs, loss ? loss(outputs, batch.labels) : cross_entropy(outputs, batch.labels)};
  const Variable& losses = result.losses;
  check<ShapeError>(losses.shape() == Shape{batch.size()}, name(), "expected losses of shape ({},), one per sample; got {}",
                    batch.size(), losses.shape());
  check<NumericError>(all_finite(losses.value()), name(), "expected finite losses; the {} batch has one that is not", which);
  return result;
}

MetaReweighter::Forward MetaReweighter::forward(const Context& context) const {
  return forward(context.net, context.batch, context.options.loss, "training");
}

std::vector<std::pair<Variable, Tensor>> MetaReweighter::meta_pass(const Context& context) {
  const BorrowedBuffers buffers(context.net);
  const Variable objective = mean(
      forward(context.net, context.meta, context.options.meta_loss ? context.options.meta_loss : context.options.loss, "meta")
          .losses);
  context.opt.zero_grad();
  backward(objective);
  meta_loss_ = objective.value().item<double>();
  std::vector<std::pair<Variable, Tensor>> gradients;
  for (const Variable& parameter : context.opt.parameters())
    if (parameter.requires_grad() && parameter.has_grad()) gradients.emplace_back(parameter, parameter.grad());
  context.opt.zero_grad();
  return gradients;
}

const std::vector<double>& MetaReweighter::differentiate(const Context& context, const Variable& losses,
                                                         const std::vector<std::pair<Variable, Tensor>>& meta_gradients) {
  meta_gradient_ = jvp(losses, meta_gradients).to(Device::cpu()).to_vector<double>();
  for (double& slope : meta_gradient_) {
    check<NumericError>(std::isfinite(slope), name(), "expected finite meta gradients; got {}", slope);
    slope *= -context.opt.lr();
  }
  return meta_gradient_;
}

std::vector<std::pair<std::string, double>> MetaReweighter::diagnostics() const {
  auto all = Reduction::diagnostics();
  all.emplace_back("meta_loss", meta_loss());
  return all;
}

void MetaReweighter::compute(const Batch& batch, std::span<double> weights, bool update) {
  check(found_.size() == batch.losses.size(), name(),
        "expected losses whose weights step() has found; got {} losses, {} weights", batch.losses.size(), found_.size());
  std::copy(found_.begin(), found_.end(), weights.begin());
  if (update) found_.clear();
}

}  // namespace heft::train
