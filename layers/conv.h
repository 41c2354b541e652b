// A two-dimensional convolution layer.
#pragma once

#include "core/backend.h"
#include "layers/extent.h"
#include "layers/module.h"

namespace heft {

struct Conv2dOptions {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  Extent2d kernel = 3;
  Extent2d stride = 1;
  Extent2d padding = 0;
  Extent2d dilation = 1;
  std::int64_t groups = 1;  // divides both channel counts; groups == in_channels is depthwise
  bool bias = true;
};

// (N, in, H, W) -> (N, out, H', W'), H' as in autograd/images.h. Parameters: weight (out, in / groups, kh, kw),
// bias (out); init::default_weight and default_bias. Throws ValueError naming the option that is out of its domain.
class Conv2d : public Module {
 public:
  using Options = Conv2dOptions;
  explicit Conv2d(const Options& options);
  Variable forward(const Variable& x) override;
  Variable forward_relu(const Variable& x);  // relu((*this)(x)), in fewer passes over memory
  std::string describe() const override;

  Variable& weight() { return weight_; }
  Variable& bias() { return bias_; }  // undefined without a bias
  const Conv2dGeometry& geometry() const { return geometry_; }

 private:
  Options options_;
  Conv2dGeometry geometry_;
  Variable weight_;
  Variable bias_;
};

}  // namespace heft
