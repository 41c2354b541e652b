// The reference backend: plain loops over row-major host memory, f32 and f64, sums in double. No dependency, nothing
// tuned: the oracle that other backends are compared with, and the engine of gradient checks in double. Results do not
// depend on the thread count. Semantics are PyTorch's where PyTorch has the operation.
#pragma once

#include "core/host/host_backend.h"

namespace heft {

class ReferenceBackend final : public HostBackend {
 public:
  const char* name() const override { return "reference"; }

  Tensor to_layout(const Tensor& x, const Layout& layout) override;

  // sum, max, min of f32, f64, i32, i64. The sum over nothing is 0; max or min over nothing throws ValueError. A NaN wins.
  Tensor reduce(Reduction op, const Tensor& x) override;
  Tensor softmax(const Tensor& x, bool log) override;
  Tensor softmax_backward(const Tensor& y, const Tensor& dy, bool log) override;

  Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) override;

  Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) override;
  Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape,
                               const Conv2dGeometry& geometry) override;
  WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight, bool want_bias,
                                         const Conv2dGeometry& geometry) override;

  // Padding never wins; a NaN does. `where` is i64: the winner's index within its input plane, the first of equals.
  MaxPoolResult max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry) override;

  BatchNormResult batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) override;
  Tensor batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& variance,
                         double eps) override;
  BatchNormGradients batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                         const Tensor& variance, double eps) override;

 private:
  // Row-major and dense, whatever backend laid x out.
  Tensor plain(const Tensor& x);
  // The same as f64, and a result in f64 as `dtype`; no copy where the dtype is right.
  Tensor as_double(const Tensor& x);
  Tensor as(const Tensor& x, DType dtype);
};

}  // namespace heft
