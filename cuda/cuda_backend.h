// The GPU backend: matrices on cuBLAS, everything else kernels of our own, one file an operation family. Images and the
// weights of convolutions are channels-last (cuda/layout.h). Work is queued on one stream (cuda/stream.h) and nothing here
// waits for it, except a copy to the CPU. No kernel adds floats in an order that changes from run to run.
// Internal to cuda/.
#pragma once

#include <memory>

#include "core/backend.h"

namespace heft {

class CudaBackend final : public Backend {
 public:
  const char* name() const override { return "cuda"; }

  // layout.cu, movement.cu
  Tensor to_layout(const Tensor& x, const Layout& layout) override;
  void fill(Tensor& x, double value) override;
  void copy(const Tensor& source, Tensor& target) override;
  Tensor cast(const Tensor& x, DType dtype) override;
  std::vector<Tensor> upload(const std::vector<Tensor>& tensors) override;                     // upload.cpp
  std::function<std::vector<Tensor>()> download(const std::vector<Tensor>& tensors) override;  // download.cu

  // unary.cu, binary.cu, compare.cu
  Tensor unary(int op, Params params, const Tensor& x) override;
  Tensor unary_backward(int op, Params params, const Tensor& x, const Tensor& y, const Tensor& dy) override;
  Tensor binary(int op, const Tensor& a, const Tensor& b) override;
  Tensor binary_backward(int op, int which, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy) override;
  Tensor compare(int op, const Tensor& a, const Tensor& b) override;
  Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) override;

  // reduce.cu, argmax.cu, softmax.cu, sum_squares.cu
  Tensor reduce(Reduction op, const Tensor& x) override;
  Tensor argmax(const Tensor& x) override;
  Tensor softmax(const Tensor& x, bool log) override;
  Tensor softmax_backward(const Tensor& y, const Tensor& dy, bool log) override;
  Tensor sum_squares(const Tensor& x) override;

  // indexing.cu
  Tensor index_select(const Tensor& x, const Tensor& index) override;
  Tensor index_add(const Tensor& dy, const Tensor& index, std::int64_t n) override;
  Tensor gather(const Tensor& x, const Tensor& index) override;
  Tensor gather_backward(const Tensor& dy, const Tensor& index, std::int64_t n) override;

  // matmul.cpp
  Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) override;
  // linear.cpp
  Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) override;
  WeightGradients linear_backward_weight(const Tensor& dy, const Tensor& x, bool want_bias) override;

  // conv.cu
  Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) override;
  Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape,
                               const Conv2dGeometry& geometry) override;
  WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight, bool want_bias,
                                         const Conv2dGeometry& geometry) override;
  Tensor conv2d_prepare_weight(const Tensor& weight, const Tensor& x, const Conv2dGeometry& geometry) override;

  // max_pool.cu, avg_pool.cu
  MaxPoolResult max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry) override;
  Tensor avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry) override;

  // subsample.cu
  Tensor subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after) override;
  Tensor subsample_backward(const Tensor& dy, const Shape& x_shape, std::int64_t stride, std::int64_t before) override;

  // batch_norm.cu, batch_norm_backward.cu
  BatchNormResult batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) override;
  Tensor batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& variance,
                         double eps) override;
  BatchNormGradients batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                         const Tensor& variance, double eps) override;
  BatchNormResult batch_norm_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                   NormFusion& fusion) override;
  BatchNormGradients batch_norm_fused_backward(Tensor dy, const BatchNormResult& forward, const Tensor& x, const Tensor& gamma,
                                               const Tensor& beta, double eps, bool relu, bool want_residual) override;

  // cross_entropy.cu
  CrossEntropyResult cross_entropy(const Tensor& logits, const Tensor& labels) override;
  Tensor cross_entropy_backward(const Tensor& saved, const Tensor& labels, const Tensor& dlosses) override;

  // tilt.cu
  TiltResult tilt(const Tensor& losses, const Tensor& prior, const Tensor& prior_before, const tilt::Options& options,
                  Tensor& state, bool update) override;

  // random.cu, optimizer.cu
  void random(Tensor& x, Distribution distribution, double a, double b, RandomKey key) override;
  void sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& velocity, const SgdStep& step) override;
  void adam_step(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
                 const AdamStep& step) override;
  void sgd_steps(std::vector<SgdTarget>& targets, const SgdStep& step, const Tensor& factors, const Tensor& hold) override;
  void adam_steps(std::vector<AdamTarget>& targets, const AdamStep& step, const Tensor& factors, Tensor& counts,
                  const Tensor& hold) override;
  void clip_factor(const std::vector<Tensor>& gradients, double largest, double scale, Tensor& factors) override;

  // graph.cpp
  std::unique_ptr<Recording> record(const std::function<void()>& work) override;
  bool records_ahead() const override;
};

}  // namespace heft
