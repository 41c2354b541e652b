// Fully connected layers.
#pragma once

#include "layers/module.h"

namespace heft {

struct LinearOptions {
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  bool bias = true;
};

// x (..., in) -> x weight^T + bias (..., out). Parameters: weight (out, in), bias (out); init::default_weight and
// default_bias. Throws ValueError unless both features are >= 1.
class Linear : public Module {
 public:
  using Options = LinearOptions;
  explicit Linear(const Options& options);
  Variable forward(const Variable& x) override;
  Variable forward_relu(const Variable& x);  // relu((*this)(x)), in fewer passes over memory
  std::string describe() const override;

  Variable& weight() { return weight_; }
  Variable& bias() { return bias_; }  // undefined without a bias

 private:
  Options options_;
  Variable weight_;
  Variable bias_;
};

struct NormedLinearOptions {
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
};

// x (..., in) -> cosines of x with each row of the weight (..., out), in [-1, 1] up to rounding; no bias, no scale (ldam()
// has it). 0 for an x that is zero; gradients stay finite there (autograd/norm.h). Parameter: weight (out, in), uniform in
// (-1, 1) and then rows of length 1. It is named and laid out as Linear's; the transpose of the (in, out) of LDAM-DRW's code.
// Throws ValueError unless both features are >= 1.
class NormedLinear : public Module {
 public:
  using Options = NormedLinearOptions;
  explicit NormedLinear(const Options& options);
  Variable forward(const Variable& x) override;
  std::string describe() const override;

  Variable& weight() { return weight_; }

 private:
  Options options_;
  Variable weight_;
};

// The last layer of a classifier: NormedLinear if `normed`, else Linear.
ModulePtr classifier_layer(std::int64_t in_features, std::int64_t classes, bool normed);

}  // namespace heft
