// Normalisation layers.
#pragma once

#include "layers/module.h"

namespace heft {

class Conv2d;

struct BatchNorm2dOptions {
  std::int64_t channels = 0;
  double momentum = 0.1;  // of the batch in the running statistics
  double eps = 1e-5;
};

// (N, C, H, W) or (N, C), formula and conventions: autograd/norm.h. Parameters: weight (C) ones, bias (C) zeros. Buffers:
// running_mean (C) zeros, running_var (C) ones, num_batches_tracked (i64, how many batches made them).
// Throws ValueError unless channels >= 1, 0 <= momentum <= 1, eps > 0.
class BatchNorm2d : public Module {
 public:
  using Options = BatchNorm2dOptions;
  explicit BatchNorm2d(const Options& options);
  Variable forward(const Variable& x) override;
  // relu((*this)(x) + residual), in fewer passes over memory (batch_norm_relu). The residual has x's shape, or is left out.
  Variable forward_relu(const Variable& x, const Variable& residual = {});
  // relu((*this)(convolution(x)) + residual); in evaluation mode the convolution normalises as it writes, where that can be.
  Variable forward_relu(Conv2d& convolution, const Variable& x, const Variable& residual = {});
  std::string describe() const override;

  Variable& weight() { return weight_; }
  Variable& bias() { return bias_; }

 private:
  Options options_;
  Variable weight_;
  Variable bias_;
  Tensor& running_mean_;
  Tensor& running_variance_;
  Tensor& batches_;
};

struct LayerNormOptions {
  std::int64_t features = 0;  // the extent of the last axis
  double eps = 1e-5;
  bool affine = true;  // with weight and bias
};

// (..., D) -> (..., D), each row to mean 0 and variance 1, then scaled and shifted. Parameters: weight (D) ones, bias (D)
// zeros. Throws ValueError unless features >= 1, eps > 0.
class LayerNorm : public Module {
 public:
  using Options = LayerNormOptions;
  explicit LayerNorm(const Options& options);
  Variable forward(const Variable& x) override;
  std::string describe() const override;

 private:
  Options options_;
  Variable weight_;
  Variable bias_;
};

}  // namespace heft
