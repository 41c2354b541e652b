// Stochastic gradient descent with momentum, as in PyTorch:
//   d = gradient + weight_decay p
//   v = d at the first step, else momentum v + (1 - dampening) d
//   p = p - lr v                     or, with nesterov, p - lr (d + momentum v)
#pragma once

#include "optim/optimizer.h"

namespace heft::optim {

struct SGDOptions {
  double lr = 0.05;
  double momentum = 0;    // in [0, 1)
  double dampening = 0;   // in [0, 1]
  bool nesterov = false;  // needs momentum and no dampening
  double weight_decay = 0;
  double clip_norm = std::numeric_limits<double>::infinity();  // of all gradients together
};

class SGD : public Optimizer {
 public:
  // Throws ValueError naming the option.
  explicit SGD(std::vector<Variable> parameters, const SGDOptions& options = {},
               std::shared_ptr<Reduction> reduction = std::make_shared<Mean>());
  explicit SGD(std::vector<ParameterGroup> groups, const SGDOptions& options = {},
               std::shared_ptr<Reduction> reduction = std::make_shared<Mean>());

  // Final: where all parameters are updated at once nobody would call another.
  void apply(Tensor& parameter, const Tensor& gradient, ParameterState& state, const Rates& rates) const final;
  std::vector<std::string> slots() const override;  // "momentum", where there is momentum

 protected:
  bool applies_all() const override { return true; }
  void apply_all(std::vector<Update>& updates, Shared& shared) const override;

 private:
  SGDOptions options_;
};

}  // namespace heft::optim
