// Pooling layers; (N, C, H, W) in.
#pragma once

#include "core/backend.h"
#include "layers/extent.h"
#include "layers/module.h"

namespace heft {

struct Pool2dOptions {
  Extent2d kernel = 2;
  Extent2d stride = 0;   // 0: the kernel
  Extent2d padding = 0;  // at most half of the kernel
};

// (N, C, H, W) -> (N, C, H', W'), H' = (H + 2 padding - kernel) / stride + 1. Throw ValueError naming the option that is
// out of its domain.
class MaxPool2d : public Module {
 public:
  using Options = Pool2dOptions;
  explicit MaxPool2d(const Options& options = {});
  Variable forward(const Variable& x) override;
  std::string describe() const override;

 private:
  Pool2dGeometry geometry_;
};

// Padding counts in the mean.
class AvgPool2d : public Module {
 public:
  using Options = Pool2dOptions;
  explicit AvgPool2d(const Options& options = {});
  Variable forward(const Variable& x) override;
  std::string describe() const override;

 private:
  Pool2dGeometry geometry_;
};

// (N, C, H, W) -> (N, C), the mean over H and W.
class GlobalAvgPool : public Module {
 public:
  Variable forward(const Variable& x) override;
  std::string describe() const override { return "GlobalAvgPool"; }
};

}  // namespace heft
