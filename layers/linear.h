// A fully connected layer.
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
  std::string describe() const override;

  Variable& weight() { return weight_; }
  Variable& bias() { return bias_; }  // undefined without a bias

 private:
  Options options_;
  Variable weight_;
  Variable bias_;
};

}  // namespace heft
