// The one interface a device implements. Every function is given tensors of its own device whose shapes, dtypes and
// arguments the operation layer (core/ops.h) has already checked, and returns a fresh tensor. Unless a comment says
// "any layout", inputs arrive contiguous. A backend may return convolution, batch norm, pooling and elementwise
// results in a layout of its own. Primitives are pure virtual: a missing kernel does not compile. Fused functions
// have defaults composed of primitives, so that adding one breaks no backend.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/random.h"
#include "core/recording.h"
#include "core/tensor.h"
#include "core/tilt.h"

namespace heft {

enum class Reduction : std::uint8_t { sum, max, min };
enum class Distribution : std::uint8_t { uniform, normal };

// Two-dimensional window geometry; element 0 is the vertical axis.
struct Conv2dGeometry {
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> padding{0, 0};
  std::array<std::int64_t, 2> dilation{1, 1};
  std::int64_t groups = 1;
};
struct Pool2dGeometry {
  std::array<std::int64_t, 2> kernel{2, 2};
  std::array<std::int64_t, 2> stride{2, 2};
  std::array<std::int64_t, 2> padding{0, 0};
};

struct WeightGradients {
  Tensor weight;
  Tensor bias;  // undefined unless asked for
};
struct MaxPoolResult {
  Tensor output;
  Tensor where;  // which element won; private to the backend
};
struct BatchNormResult {
  Tensor output;
  Tensor mean;      // (C)
  Tensor variance;  // (C), biased: divided by the count
  // Of batch_norm_fused with a relu: the output, where the gradient reads it again; undefined where x alone tells the backend
  // what the relu let through, so that nobody need keep the output for that. batch_norm_eval_fused makes it again then, to
  // the bit, from x and these statistics.
  Tensor kept = {};
};
struct BatchNormGradients {
  Tensor input;
  Tensor gamma;
  Tensor beta;
  Tensor residual = {};  // of batch_norm_fused_backward, where it is wanted
};
// What batch_norm_fused does besides normalising.
struct NormFusion {
  bool relu = false;
  Tensor residual = {};  // of x's shape; undefined: none
  // (C), of x's dtype and contiguous, or undefined: left alone. Else changed in place,
  // running = (1 - momentum) running + momentum batch, with the unbiased variance.
  Tensor running_mean = {}, running_variance = {};
  double momentum = 0.1;
};
struct CrossEntropyResult {
  static constexpr double kLowest = -1e30;  // of a logit less the largest of its row
  Tensor losses;                            // (N)
  Tensor saved;                             // for the gradient; private to the backend
};

struct TiltResult {
  Tensor weights;  // (N), f64
  Tensor seed;     // (N), of the losses' dtype: weights / N
  Tensor value;    // rank 0, likewise: sum of seed_i loss_i
};

// Scalars of one optimizer update; formulas in optim/sgd.h and optim/adam.h.
struct SgdStep {
  double lr = 0, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
  bool first = false;  // the momentum buffer starts as the gradient
};
// One parameter among those that are updated together. All tensors in the parameter's layout.
struct SgdTarget {
  Tensor parameter, gradient;
  Tensor velocity;  // undefined without momentum
  double weight_decay = 0;
  std::int64_t group = 0;
  bool first = false;  // of SgdStep
};
struct AdamStep {
  double lr = 0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;  // AdamW: decay the parameter, not the gradient
  std::int64_t step = 1;   // counted from 1, for the bias corrections
};
struct AdamTarget {
  Tensor parameter, gradient, first_moment, second_moment;
  double weight_decay = 0;
  std::int64_t group = 0;
  std::int64_t number = 0;  // its place in the counts
};

// Functor parameters: at most two doubles.
using Params = std::array<double, 2>;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;

  // ---- movement
  // Any layout in; row-major (default Layout) or one of this backend's own out.
  virtual Tensor to_layout(const Tensor& x, const Layout& layout) = 0;
  virtual void fill(Tensor& x, double value) = 0;  // strided; opaque with value 0 only
  // Same shape. Both strided, dtypes may differ; or both in one layout of this backend's own.
  virtual void copy(const Tensor& source, Tensor& target) = 0;
  virtual Tensor cast(const Tensor& x, DType dtype) = 0;
  // Tensors of the CPU, contiguous and not empty, on this backend's device, for the next batch of input: copied beside the work
  // that is queued there where that is possible, and ready for what is queued from here on.
  virtual std::vector<Tensor> upload(const std::vector<Tensor>& tensors) { return tensors; }
  // The way back of core/download.h, for tensors that are contiguous. The result waits for their values and gives them on the
  // CPU.
  virtual std::function<std::vector<Tensor>()> download(const std::vector<Tensor>& tensors);

  // ---- elementwise; `op` is the functor's index in its list. Any layout, equal among the operands.
  virtual Tensor unary(int op, Params params, const Tensor& x) = 0;
  virtual Tensor unary_backward(int op, Params params, const Tensor& x, const Tensor& y, const Tensor& dy) = 0;
  // Strided operands broadcast to one shape; opaque ones have equal shapes and layouts.
  virtual Tensor binary(int op, const Tensor& a, const Tensor& b) = 0;
  // Gradient for operand `which` (0: a, 1: b), of y's shape: not yet summed over broadcast axes.
  virtual Tensor binary_backward(int op, int which, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy) = 0;
  virtual Tensor compare(int op, const Tensor& a, const Tensor& b) = 0;                 // strided -> bool
  virtual Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) = 0;  // strided, broadcast

  // ---- along an axis: x is (outer, n, inner)
  virtual Tensor reduce(Reduction op, const Tensor& x) = 0;  // -> (outer, inner)
  virtual Tensor argmax(const Tensor& x) = 0;                // -> (outer, inner) i64, the first of equals
  virtual Tensor softmax(const Tensor& x, bool log) = 0;
  virtual Tensor softmax_backward(const Tensor& y, const Tensor& dy, bool log) = 0;
  // index: (k) i64, checked. -> (outer, k, inner); index_add is its adjoint: dy (outer, k, inner) -> (outer, n, inner).
  virtual Tensor index_select(const Tensor& x, const Tensor& index) = 0;
  virtual Tensor index_add(const Tensor& dy, const Tensor& index, std::int64_t n) = 0;
  // index: (outer, k, inner) i64, checked. y[o, j, i] = x[o, index[o, j, i], i]; gather_backward is the adjoint.
  virtual Tensor gather(const Tensor& x, const Tensor& index) = 0;
  virtual Tensor gather_backward(const Tensor& dy, const Tensor& index, std::int64_t n) = 0;

  // ---- matrices: a (B, M, K) or (B, K, M) when transposed, b likewise (B, K, N); a batch of 1 broadcasts. -> (B, M, N)
  virtual Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) = 0;

  // ---- images, (N, C, H, W); x, dy, weight in any layout
  virtual Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) = 0;
  virtual Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape,
                                       const Conv2dGeometry& geometry) = 0;
  // The weight gradient has `weight`'s layout.
  virtual WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight, bool want_bias,
                                                 const Conv2dGeometry& geometry) = 0;
  // The weight in the layout that conv2d wants for inputs like x, so that a parameter can be kept in it.
  virtual Tensor conv2d_prepare_weight(const Tensor& weight, const Tensor& x, const Conv2dGeometry& geometry);
  // The gradients of pooling read the form of x (shape, dtype, layout), never its values.
  virtual MaxPoolResult max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) = 0;
  virtual Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x,
                                     const Pool2dGeometry& geometry) = 0;
  virtual Tensor avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry) = 0;  // padding counts in the mean
  virtual Tensor avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry) = 0;
  virtual BatchNormResult batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) = 0;
  virtual Tensor batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                 const Tensor& variance, double eps) = 0;
  virtual BatchNormGradients batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                                 const Tensor& variance, double eps) = 0;

  // ---- exponential weights of a batch of losses (N), f32 or f64: tilt::step (core/tilt.h). prior, prior_before: (N) f64, or
  // undefined. `state` holds the bytes of a tilt::State and, with `update`, is taken a step further.
  virtual TiltResult tilt(const Tensor& losses, const Tensor& prior, const Tensor& prior_before, const tilt::Options& options,
                          Tensor& state, bool update) = 0;

  // ---- random: element i of x depends on (key, i) alone. uniform: [a, b); normal: mean a, deviation b.
  virtual void random(Tensor& x, Distribution distribution, double a, double b, RandomKey key) = 0;

  // ---- optimizer updates in place; all tensors in the parameter's layout. `velocity` is undefined without momentum.
  virtual void sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& velocity, const SgdStep& step) = 0;
  virtual void adam_step(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
                         const AdamStep& step) = 0;

  // ---- fused, with defaults composed of the primitives above
  // x (N, K), weight (M, K), bias (M) or undefined -> (N, M)
  virtual Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
  virtual Tensor linear_relu(const Tensor& x, const Tensor& weight, const Tensor& bias);  // relu(linear(...))
  virtual Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry);
  // The gradients of linear's weight (M, K) and bias (M) from dy (N, M) and x (N, K).
  virtual WeightGradients linear_backward_weight(const Tensor& dy, const Tensor& x, bool want_bias);
  // Dense or opaque x -> the sum of x_i^2, computed in f64 whatever x is, rank 0.
  virtual Tensor sum_squares(const Tensor& x);
  // y = relu(batch_norm_train(x) + residual), as far as `fusion` asks for it.
  virtual BatchNormResult batch_norm_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                           NormFusion& fusion);
  // y = relu(batch_norm_eval(x) + residual); the residual may be undefined, and relu says whether there is one.
  virtual Tensor batch_norm_eval_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                       const Tensor& variance, double eps, const Tensor& residual, bool relu);
  // The same of conv2d(x, weight): batch norm with the running statistics, which a convolution can do as it writes.
  virtual Tensor conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Conv2dGeometry& geometry, const Tensor& gamma,
                                   const Tensor& beta, const Tensor& mean, const Tensor& variance, double eps,
                                   const Tensor& residual, bool relu);
  // Of what batch_norm_fused returned all but the output is read; beta where there was a relu and nothing is kept. The
  // residual's gradient is the one behind the relu.
  // A dy that nobody else holds (storage_users() is 1) may be overwritten.
  virtual BatchNormGradients batch_norm_fused_backward(Tensor dy, const BatchNormResult& forward, const Tensor& x,
                                                       const Tensor& gamma, const Tensor& beta, double eps, bool relu,
                                                       bool want_residual);
  // Every stride-th row and column of x, channels of zeros before and after: (N, before + C + after, ...). And its adjoint.
  virtual Tensor subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after);
  virtual Tensor subsample_backward(const Tensor& dy, const Shape& x_shape, std::int64_t stride, std::int64_t before);
  // logits (N, C), labels (N) i64 -> -log softmax(logits)[label], never below 0. Each logit is taken less the largest of its
  // row and clamped at kLowest, so that no loss leaves f32; a NaN or +infinity makes its row NaN. Labels are in [0, C) on a
  // CPU; on a GPU one outside gives a loss and a gradient of NaN.
  virtual CrossEntropyResult cross_entropy(const Tensor& logits, const Tensor& labels);
  // dlosses (N) -> (N, C); 0 where a logit was clamped.
  virtual Tensor cross_entropy_backward(const Tensor& saved, const Tensor& labels, const Tensor& dlosses);

  // sgd_step of many parameters at once. `factors`, f64: a factor on all gradients, then the lr of each group, so that a
  // recorded step follows both; those of `step` are not read. Where the factor is 0, or `hold` (i64 or the bytes of one;
  // undefined: none) begins with another number than 0, nothing happens.
  virtual void sgd_steps(std::vector<SgdTarget>& targets, const SgdStep& step, const Tensor& factors, const Tensor& hold);
  // adam_step of many, likewise. `counts`, f64: the updates that each has had, counted on here, held or not, so that a recorded
  // step follows them too; `step` of AdamStep is not read.
  virtual void adam_steps(std::vector<AdamTarget>& targets, const AdamStep& step, const Tensor& factors, Tensor& counts,
                          const Tensor& hold);
  // factors[0] = scale, times what brings the norm of all gradients times scale down to `largest`. Where the norm is not
  // finite, 1 is added to the last of `factors`; while that is not 0, factors[0] is 0.
  virtual void clip_factor(const std::vector<Tensor>& gradients, double largest, double scale, Tensor& factors);

  // ---- a step recorded once and done again. `work` runs here once; whether it is done then, or by the first replay, is
  // records_ahead(). Default: it is done, and a replay runs it again.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work);
  virtual bool records_ahead() const { return false; }
};

// Plain templated loops in f32 and f64, always there: the oracle for the others.
Backend& reference_backend();
// oneDNN for f32 and the reference for f64; the reference alone when configured with HEFT_ONEDNN=OFF.
Backend& cpu_backend();
// Throws DeviceError in a build without CUDA or on a machine without a GPU. Defined in cuda/.
Backend& cuda_backend();

// The backend that computes on tensors of this device and dtype: the innermost BackendScope's, else the device's.
Backend& backend_for(Device device, DType dtype);
inline Backend& backend_for(const Tensor& x) { return backend_for(x.device(), x.dtype()); }

// For as long as it lives, CPU operations of this thread run on `backend`. Used to compare backends.
class BackendScope {
 public:
  explicit BackendScope(Backend& backend);
  ~BackendScope();
  BackendScope(const BackendScope&) = delete;
  BackendScope& operator=(const BackendScope&) = delete;

 private:
  Backend* previous_;
};

}  // namespace heft
