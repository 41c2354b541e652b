#include "layers/linear.h"

#include "autograd/linalg.h"
#include "core/check.h"
#include "layers/init.h"

namespace heft {

Linear::Linear(const Options& options) : options_(options) {
  check(options.in_features >= 1, "Linear", "expected in_features >= 1; got {}", options.in_features);
  check(options.out_features >= 1, "Linear", "expected out_features >= 1; got {}", options.out_features);
  weight_ = register_parameter("weight", init::default_weight({options.out_features, options.in_features}));
  if (options.bias) bias_ = register_parameter("bias", init::default_bias(options.out_features, options.in_features));
}

Variable Linear::forward(const Variable& x) { return linear(x, weight_, bias_); }

std::string Linear::describe() const {
  return fmt::format("Linear({} -> {}{})", options_.in_features, options_.out_features, options_.bias ? "" : ", no bias");
}

}  // namespace heft
