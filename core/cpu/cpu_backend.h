// The CPU backend for f32: convolution, pooling, batch norm, matrices and softmax on oneDNN, the rest inherited.
// Tensors in other dtypes go to the reference backend. oneDNN's errors leave as ValueError.
// Convolution, pooling and batch norm answer in the format oneDNN prefers, as an opaque layout; threads may call at once.
// Where oneDNN differs from the reference: a NaN never wins in max_pool2d (a window of NaNs gives the lowest finite
// number), and softmax gives NaN at a NaN or +inf alone, not in the whole row. log_softmax shows it everywhere.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/host/host_backend.h"

namespace heft {

class CpuBackend final : public HostBackend {
 public:
  const char* name() const override { return "onednn"; }

  Tensor to_layout(const Tensor& x, const Layout& layout) override;

  Tensor reduce(Reduction op, const Tensor& x) override;
  Tensor softmax(const Tensor& x, bool log) override;
  Tensor softmax_backward(const Tensor& y, const Tensor& dy, bool log) override;

  Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) override;
  Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) override;
  Tensor linear_relu(const Tensor& x, const Tensor& weight, const Tensor& bias) override;

  Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) override;
  Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) override;
  Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape,
                               const Conv2dGeometry& geometry) override;
  WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight, bool want_bias,
                                         const Conv2dGeometry& geometry) override;
  Tensor conv2d_prepare_weight(const Tensor& weight, const Tensor& x, const Conv2dGeometry& geometry) override;

  MaxPoolResult max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry) override;

  BatchNormResult batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) override;
  Tensor batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& variance,
                         double eps) override;
  BatchNormGradients batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                         const Tensor& variance, double eps) override;
  BatchNormResult batch_norm_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                   NormFusion& fusion) override;
  Tensor conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Conv2dGeometry& geometry, const Tensor& gamma,
                           const Tensor& beta, const Tensor& mean, const Tensor& variance, double eps, const Tensor& residual,
                           bool relu) override;
  Tensor batch_norm_eval_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                               const Tensor& variance, double eps, const Tensor& residual, bool relu) override;
  BatchNormGradients batch_norm_fused_backward(Tensor dy, const BatchNormResult& forward, const Tensor& x, const Tensor& gamma,
                                               const Tensor& beta, double eps, bool relu, bool want_residual) override;

  CrossEntropyResult cross_entropy(const Tensor& logits, const Tensor& labels) override;
  Tensor cross_entropy_backward(const Tensor& saved, const Tensor& labels, const Tensor& dlosses) override;

  Tensor subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after) override;
  Tensor subsample_backward(const Tensor& dy, const Shape& x_shape, std::int64_t stride, std::int64_t before) override;
};

Backend& onednn_backend();

namespace onednn {

// Since the start of the process.
struct Counters {
  std::uint64_t primitives_created = 0;
  std::uint64_t reorders = 0;  // copies into another layout
};
Counters counters();

// Compiled primitives kept, ours and oneDNN's own each; 256 unless set. One is about 50 KiB, a training step of ResNet-20
// has 53. A step with more than fit compiles them again every time. Throws ValueError unless >= 1.
void set_primitive_cache_capacity(std::size_t capacity);
std::size_t primitive_cache_capacity();
std::size_t primitive_cache_size();

}  // namespace onednn
}  // namespace heft
