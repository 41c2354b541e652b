#include "layers/linear.h"

#include "autograd/elementwise.h"
#include "autograd/linalg.h"
#include "autograd/norm.h"
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

Variable Linear::forward_relu(const Variable& x) {
  return ForwardObserver::active() ? relu((*this)(x)) : linear_relu(x, weight_, bias_);
}

std::string Linear::describe() const {
  return fmt::format("Linear({} -> {}{})", options_.in_features, options_.out_features, options_.bias ? "" : ", no bias");
}

NormedLinear::NormedLinear(const Options& options) : options_(options) {
  check(options.in_features >= 1, "NormedLinear", "expected in_features >= 1; got {}", options.in_features);
  check(options.out_features >= 1, "NormedLinear", "expected out_features >= 1; got {}", options.out_features);
  weight_ = register_parameter("weight", init::unit_rows({options.out_features, options.in_features}));
}

Variable NormedLinear::forward(const Variable& x) { return linear(l2_normalize(x), l2_normalize(weight_)); }

std::string NormedLinear::describe() const {
  return fmt::format("NormedLinear({} -> {})", options_.in_features, options_.out_features);
}

ModulePtr classifier_layer(std::int64_t in_features, std::int64_t classes, bool normed) {
  if (normed) return layer<NormedLinear>({.in_features = in_features, .out_features = classes});
  return layer<Linear>({.in_features = in_features, .out_features = classes});
}

}  // namespace heft
