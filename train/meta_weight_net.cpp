#include "train/meta_weight_net.h"

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "core/check.h"
#include "core/ops.h"
#include "layers/models.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "train/named_state.h"

namespace heft::train {
namespace {

std::unique_ptr<optim::Optimizer> optimizer_of(const Module& v, const MetaWeightNetOptions& o) {
  if (o.rule == MetaWeightNetOptions::Rule::sgd)
    return std::make_unique<optim::SGD>(v.parameters(),
                                        optim::SGDOptions{.lr = o.lr.value_or(1e-5), .weight_decay = o.weight_decay});
  return std::make_unique<optim::Adam>(v.parameters(),
                                       optim::AdamOptions{.lr = o.lr.value_or(1e-3), .weight_decay = o.weight_decay});
}

// While one lives, the parameters that have a gradient are at theta - eta gradient. They are given other tensors, and then
// the very ones they had: the graph recorded at theta finds what it saved as it was.
class VirtualStep {
 public:
  VirtualStep(const std::vector<Variable>& parameters, double eta) {
    for (const Variable& parameter : parameters)
      if (parameter.requires_grad() && parameter.has_grad())
        others_.emplace_back(parameter, parameter.value() - parameter.grad() * eta);
    exchange();
  }
  ~VirtualStep() { exchange(); }
  VirtualStep(const VirtualStep&) = delete;
  VirtualStep& operator=(const VirtualStep&) = delete;

 private:
  void exchange() {
    for (auto& [parameter, other] : others_) {
      const Tensor present = parameter.value();
      parameter.set_value(other);
      other = present;
    }
  }
  std::vector<std::pair<Variable, Tensor>> others_;
};

}  // namespace

MetaWeightNet::MetaWeightNet(const MetaWeightNetOptions& options) : options_(options) {
  check(options.hidden >= 1, name(), "expected hidden >= 1; got {}", options.hidden);
  v_ = models::mlp({.inputs = 1, .hidden = {options.hidden}, .classes = 1});
  v_optimizer_ = optimizer_of(*v_, options);
}

Variable MetaWeightNet::weigh_losses(const Tensor& losses) const {
  const Variable any = v_->parameters().front();
  const Tensor column = losses.reshape({-1, 1}).astype(any.dtype()).to(any.device());
  return reshape(sigmoid((*v_)(column)), {-1});
}

Variable MetaWeightNet::shares_of(const Tensor& losses) const {
  const Variable v = weigh_losses(losses);
  if (!options_.normalise) return v * (1 / static_cast<double>(losses.numel()));
  const Variable total = sum(v);
  return total.value().item<double>() > 0 ? v / total : v;
}

MetaReweighter::Weighed MetaWeightNet::weigh_batch(const Context& context) {
  Weighed result{.forward = forward(context), .shares = {}};
  const Variable& graph = result.forward.losses;
  const Tensor losses = graph.value();
  const Variable shares = shares_of(losses);
  context.opt.zero_grad();
  backward(graph, shares.value().astype(losses.dtype()).to(losses.device()), {.keep_graph = true});
  std::vector<std::pair<Variable, Tensor>> meta_gradients;
  {
    const VirtualStep step(context.opt.parameters(), context.opt.lr());
    meta_gradients = meta_pass(context);
  }
  const Tensor c = Tensor::from(differentiate(context, graph, meta_gradients));
  v_optimizer_->zero_grad();
  backward(shares, c.astype(shares.dtype()).to(shares.device()));
  v_optimizer_->step();
  const NoGrad no_grad;
  result.shares = shares_of(losses).value().to(Device::cpu()).to_vector<double>();
  return result;
}

std::map<std::string, Tensor> MetaWeightNet::state() const {
  NamedState all;
  put(all, "v.", v_->state());
  put(all, "v_optimizer.", v_optimizer_->state());
  return all;
}

void MetaWeightNet::load_state(const std::map<std::string, Tensor>& state) {
  const NamedState before = v_->state();
  v_->load_state(part_of(state, "v."));
  try {
    v_optimizer_->load_state(part_of(state, "v_optimizer."));
  } catch (...) {
    v_->load_state(before);
    throw;
  }
}

}  // namespace heft::train
