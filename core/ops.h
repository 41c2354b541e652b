// Operations on Tensors: they check their arguments, bring layouts in order and call the device's backend. Nothing here
// records a graph; the functions of the same names on Variables (autograd/) are built on these.
// Errors: ShapeError, DTypeError, DeviceError, ValueError with the operation's name. Operands must agree in dtype and
// device; binary operations broadcast like NumPy. Image tensors are (N, C, H, W).
#pragma once

#include <algorithm>
#include <vector>

#include "core/backend.h"
#include "core/functors.h"
#include "core/tensor.h"

namespace heft {

// ---- elementwise, generic in the functor
Tensor unary_op(int op, const char* name, bool keeps_zero, Params params, const Tensor& x);
Tensor unary_backward_op(int op, const char* name, bool keeps_zero, Params params, const Tensor& x, const Tensor& y,
                         const Tensor& dy);
Tensor binary_op(int op, const char* name, bool keeps_zero, const Tensor& a, const Tensor& b);
Tensor binary_backward_op(int op, const char* name, bool keeps_zero, int which, const Tensor& a, const Tensor& b,
                          const Tensor& y, const Tensor& dy);
Tensor compare_op(int op, const char* name, const Tensor& a, const Tensor& b);

// A functor's fields as parameters, and back.
template <class F>
Params pack(const F& f) {
  static_assert(std::is_empty_v<F> || sizeof(F) <= sizeof(Params));
  Params params{};
  if constexpr (!std::is_empty_v<F>)
    std::copy_n(reinterpret_cast<const double*>(&f), sizeof(F) / sizeof(double), params.begin());
  return params;
}
template <class F>
F unpack([[maybe_unused]] const Params& params) {
  if constexpr (std::is_empty_v<F>) return F{};
  else if constexpr (sizeof(F) == sizeof(double)) return F{params[0]};
  else return F{params[0], params[1]};
}

template <class F>
Tensor unary(const Tensor& x, F f = {}) {
  return unary_op(fn::IndexOf<F, fn::Unary>::value, F::name, fn::keeps_zero<F>(), pack(f), x);
}
template <class F>
Tensor unary_backward(const Tensor& x, const Tensor& y, const Tensor& dy, F f = {}) {
  return unary_backward_op(fn::IndexOf<F, fn::Unary>::value, F::name, fn::keeps_zero<F>(), pack(f), x, y, dy);
}
// For operations that may end in a ReLU: d, a gradient or a tangent, across the one whose output is y; d itself where there was
// none and y is undefined.
inline Tensor across_relu(const Tensor& y, const Tensor& d) { return y.defined() ? unary_backward<fn::Relu>(y, y, d) : d; }
template <class F>
Tensor binary(const Tensor& a, const Tensor& b) {
  return binary_op(fn::IndexOf<F, fn::Binary>::value, F::name, fn::keeps_zero<F>(), a, b);
}
// Of y's shape; sum_to brings it to the operand's.
template <class F>
Tensor binary_backward(int which, const Tensor& a, const Tensor& b, const Tensor& y, const Tensor& dy) {
  return binary_backward_op(fn::IndexOf<F, fn::Binary>::value, F::name, fn::keeps_zero<F>(), which, a, b, y, dy);
}
template <class F>
Tensor compare(const Tensor& a, const Tensor& b) {
  return compare_op(fn::IndexOf<F, fn::Compare>::value, F::name, a, b);
}

inline Tensor operator+(const Tensor& a, const Tensor& b) { return binary<fn::Add>(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return binary<fn::Sub>(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return binary<fn::Mul>(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return binary<fn::Div>(a, b); }
inline Tensor operator+(const Tensor& a, double c) { return unary(a, fn::AddScalar{c}); }
inline Tensor operator-(const Tensor& a, double c) { return unary(a, fn::AddScalar{-c}); }
inline Tensor operator*(const Tensor& a, double c) { return unary(a, fn::MulScalar{c}); }
inline Tensor operator/(const Tensor& a, double c) { return unary(a, fn::MulScalar{1 / c}); }
inline Tensor operator*(double c, const Tensor& a) { return a * c; }
inline Tensor operator-(const Tensor& a) { return unary<fn::Neg>(a); }

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

// ---- reductions. No axes: over everything. keep_axes leaves extents of 1.
Tensor sum(const Tensor& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Tensor mean(const Tensor& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Tensor max(const Tensor& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Tensor min(const Tensor& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Tensor sum_squares(const Tensor& x);  // f64 for f32 too: squares of f32 overflow from 1.8e19 on
Tensor logsumexp(const Tensor& x, const std::vector<int>& axes = {}, bool keep_axes = false);
Tensor argmax(const Tensor& x, int axis = -1);  // i64, the first of equals
Tensor softmax(const Tensor& x, int axis = -1);
Tensor log_softmax(const Tensor& x, int axis = -1);
Tensor softmax_backward(const Tensor& y, const Tensor& dy, int axis, bool log);
// Sums the axes along which `shape` was broadcast to x's shape: the adjoint of expand.
Tensor sum_to(const Tensor& x, const Shape& shape);

// ---- indexing. Indices are i64 (i32 is converted) and checked: ShapeError names the first bad one. On a GPU they are not, so
// that nothing waits for it: a bad one reads as NaN (0 in whole numbers) and adds to nothing.
Tensor index_select(const Tensor& x, int axis, const Tensor& index);
Tensor index_add(const Tensor& dy, int axis, const Tensor& index, std::int64_t n);
Tensor gather(const Tensor& x, int axis, const Tensor& index);
Tensor gather_backward(const Tensor& dy, int axis, const Tensor& index, std::int64_t n);
Tensor concat(const std::vector<Tensor>& parts, int axis);
// before[i] and after[i] elements of `value` around axis i.
Tensor pad(const Tensor& x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after, double value = 0);
Tensor one_hot(const Tensor& labels, std::int64_t classes, DType dtype = DType::f32);

// ---- matrices: (..., M, K) x (..., K, N); leading axes broadcast. A matrix at least: no rank-1 operands.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);
// x (..., K), weight (M, K), bias (M) or undefined -> (..., M). relu: of that, in the same pass where the backend can.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, bool relu = false);
// From dy (..., M) and x (..., K): the gradients of weight and, if wanted, bias.
WeightGradients linear_backward_weight(const Tensor& dy, const Tensor& x, bool want_bias);

// ---- images
Shape conv2d_shape(const Shape& x, const Shape& weight, const Conv2dGeometry& geometry);
Shape pool2d_shape(const Shape& x, const Pool2dGeometry& geometry, const char* op);
// relu: of the result, as for linear.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dGeometry& geometry = {},
              bool relu = false);
Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape, const Conv2dGeometry& geometry);
WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight, bool want_bias,
                                       const Conv2dGeometry& geometry);
Tensor conv2d_prepare_weight(const Tensor& weight, const Tensor& x, const Conv2dGeometry& geometry);
MaxPoolResult max_pool2d(const Tensor& x, const Pool2dGeometry& geometry);
Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x, const Pool2dGeometry& geometry);
// dx at the element each window chose: the adjoint of max_pool2d_backward, which like it reads the form of x alone.
Tensor max_pool2d_tangent(const Tensor& dx, const Tensor& where, const Tensor& x, const Pool2dGeometry& geometry);
Tensor avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry);
Tensor avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry);
// Every stride-th row and column, between channels of zeros: (N, before + C + after, ceil(H / stride), ceil(W / stride)).
Tensor subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after);
Tensor subsample_backward(const Tensor& dy, const Shape& x_shape, std::int64_t stride, std::int64_t before);
BatchNormResult batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps);
Tensor batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& variance,
                       double eps);
BatchNormGradients batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                       const Tensor& variance, double eps);
// y = relu(batch_norm_train(x) + residual), as far as `fusion` asks for it; it has the contracts.
BatchNormResult batch_norm_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                 const NormFusion& fusion);
// y = relu(batch_norm_eval(x) + residual); the residual may be undefined.
Tensor batch_norm_eval_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                             const Tensor& variance, double eps, const Tensor& residual, bool relu);
// The same of y = conv2d(x, weight).
Tensor conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Conv2dGeometry& geometry, const Tensor& gamma,
                         const Tensor& beta, const Tensor& mean, const Tensor& variance, double eps, const Tensor& residual,
                         bool relu);
// `forward` is what batch_norm_fused returned on this x, gamma and beta; its output is not read and may be undefined, and so
// may beta unless there is a relu and nothing was kept. A dy that nobody else holds may be overwritten.
BatchNormGradients batch_norm_fused_backward(Tensor dy, const BatchNormResult& forward, const Tensor& x, const Tensor& gamma,
                                             const Tensor& beta, double eps, bool relu, bool want_residual);

// ---- losses: Backend::cross_entropy, which says what they compute. labels (N) i64; only those on a GPU may be out of range.
CrossEntropyResult softmax_cross_entropy(const Tensor& logits, const Tensor& labels);
Tensor softmax_cross_entropy_backward(const Tensor& saved, const Tensor& labels, const Tensor& dlosses);

// True if no element is NaN or infinite.
bool all_finite(const Tensor& x);

}  // namespace heft
