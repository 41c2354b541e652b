// Dropout (Srivastava et al. 2014).
#pragma once

#include "layers/module.h"

namespace heft {

struct DropoutOptions {
  double p = 0.5;  // the probability of a zero, in [0, 1) (ValueError)
};

// In training: each element zeroed with probability p, the others scaled by 1 / (1 - p). In evaluation: the identity.
class Dropout : public Module {
 public:
  using Options = DropoutOptions;
  explicit Dropout(const Options& options = {});
  Variable forward(const Variable& x) override;
  std::string describe() const override;

 private:
  double p_;
};

}  // namespace heft
