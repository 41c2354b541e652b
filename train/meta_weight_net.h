// Meta-Weight-Net: Shu, Xie, Yi, Zhao, Zhou, Xu, Meng, "Meta-Weight-Net: learning an explicit mapping for sample weighting",
// NeurIPS 2019.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "train/meta.h"

namespace heft::train {

struct MetaWeightNetOptions {
  std::int64_t hidden = 100;
  // p_i = V_i / sum_j V_j (all V_i 0, which takes sigmoids that underflow: all 0), in the virtual step, in its derivative and
  // in the update alike; false: p_i = V_i / N in all of them, as in the authors' code for noisy labels.
  bool normalise = true;
  // Of V. The authors' code for noisy labels has Adam at 1e-3 with weight decay 1e-4; that for imbalance SGD at 1e-5.
  enum class Rule { adam, sgd } rule = Rule::adam;
  std::optional<double> lr = {};  // unset: 1e-3 for adam, 1e-5 for sgd
  double weight_decay = 1e-4;     // added to the gradient
};

// Weights are a learned function of the loss, V(l) = sigmoid(fc2(relu(fc1(l)))), 1 - hidden - 1, with parameters Theta. Per
// batch:
//   1. theta^ = theta - eta sum_i p_i(Theta) grad l_i(theta), the losses that enter V being constants;
//   2. c_i = d L_meta(theta^) / d p_i, one jvp, and d L_meta / d Theta = sum_i c_i d p_i / d Theta, through the normalisation;
//   3. a step of V's own optimizer along it;
//   4. the optimizer's update of theta with the new p_i, on the same losses.
// The batch's graph is kept from 1 to 4: two forward passes, three backward sweeps of the network and one of V, one jvp.
// State: V under "v." and its optimizer under "v_optimizer.".
class MetaWeightNet final : public MetaReweighter {
 public:
  // V starts as Linear layers do (layers/init.h), on the CPU in f32, from the process's random numbers.
  // Throws ValueError naming the option.
  explicit MetaWeightNet(const MetaWeightNetOptions& options = {});

  const char* name() const override { return "meta_weight_net"; }
  // V; its last layer gives the logit of the weight.
  Module& net() { return *v_; }
  // V at losses of shape (N): (N), each in [0, 1], on V's device and of its dtype. The curve that was learned.
  Variable weigh_losses(const Tensor& losses) const;

  std::map<std::string, Tensor> state() const override;
  // Changes nothing when it throws; ValueError or ShapeError name the entry.
  void load_state(const std::map<std::string, Tensor>& state) override;

 private:
  Weighed weigh_batch(const Context& context) override;
  Variable shares_of(const Tensor& losses) const;

  MetaWeightNetOptions options_;
  ModulePtr v_;
  std::unique_ptr<optim::Optimizer> v_optimizer_;
};

}  // namespace heft::train
