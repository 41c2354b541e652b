// Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), as in PyTorch:
//   d = gradient + weight_decay p    (AdamW instead: p = (1 - lr weight_decay) p)
//   m = beta1 m + (1 - beta1) d,  v = beta2 v + (1 - beta2) d^2
//   p = p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps),  t = 1, 2, ... counted per parameter
#pragma once

#include "optim/optimizer.h"

namespace heft {
struct AdamStep;
}

namespace heft::optim {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;    // in [0, 1)
  double beta2 = 0.999;  // in [0, 1)
  double eps = 1e-8;     // above 0
  double weight_decay = 0;
  bool decoupled = false;                                      // AdamW's decay
  double clip_norm = std::numeric_limits<double>::infinity();  // of all gradients together
};

class Adam : public Optimizer {
 public:
  // Throws ValueError naming the option.
  explicit Adam(std::vector<Variable> parameters, const AdamOptions& options = {},
                std::shared_ptr<Reduction> reduction = std::make_shared<Mean>());
  explicit Adam(std::vector<ParameterGroup> groups, const AdamOptions& options = {},
                std::shared_ptr<Reduction> reduction = std::make_shared<Mean>());

  // Final: where all parameters are updated at once nobody would call another.
  void apply(Tensor& parameter, const Tensor& gradient, ParameterState& state, const Rates& rates) const final;
  std::vector<std::string> slots() const override;  // "first_moment", "second_moment"

 protected:
  bool applies_all() const override { return true; }
  bool counts_updates() const override { return true; }
  void apply_all(std::vector<Update>& updates, Shared& shared) const override;

 private:
  AdamStep step_of(const Rates& rates, std::int64_t step) const;
  void prepare(const Tensor& parameter, ParameterState& state) const;  // its slots, before its first update

  AdamOptions options_;
};

// Adam with decoupled decay, 0.01 unless a value is given.
struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  double clip_norm = std::numeric_limits<double>::infinity();
};

class AdamW : public Adam {
 public:
  explicit AdamW(std::vector<Variable> parameters, const AdamWOptions& options = {},
                 std::shared_ptr<Reduction> reduction = std::make_shared<Mean>());
  explicit AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options = {},
                 std::shared_ptr<Reduction> reduction = std::make_shared<Mean>());
};

}  // namespace heft::optim
