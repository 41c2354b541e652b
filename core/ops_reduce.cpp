#include <algorithm>

#include "core/op_support.h"
#include "core/ops.h"

namespace heft {
namespace {

std::vector<int> sorted_axes(const char* op, const Tensor& x, const std::vector<int>& axes) {
  std::vector<int> sorted;
  if (axes.empty())
    for (int i = 0; i < x.rank(); ++i) sorted.push_back(i);
  for (const int axis : axes) sorted.push_back(x.shape().axis(axis, op));
  std::sort(sorted.begin(), sorted.end());
  check<ShapeError>(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), op, "expected each axis once; got ({})",
                    fmt::join(axes, ", "));
  return sorted;
}

Shape reduced_shape(const Shape& shape, const std::vector<int>& axes, bool keep_axes) {
  Shape result = shape;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis)
    result = keep_axes ? result.with(*axis, 1) : result.without(*axis);
  return result;
}

// Neighbouring axes reduce where they are; others are moved to the end first.
Tensor reduce(const char* op, Reduction reduction, const Tensor& x, const std::vector<int>& requested, bool keep_axes) {
  check_defined(op, x);
  const std::vector<int> axes = sorted_axes(op, x, requested);
  std::int64_t n = 1;
  for (const int axis : axes) n *= x.shape()[axis];
  check(reduction == Reduction::sum || n > 0, op, "expected at least one element to choose from; got shape {}", x.shape());
  const Shape result = reduced_shape(x.shape(), axes, keep_axes);
  if (axes.empty()) return x.contiguous().reshape(result);
  Tensor dense;
  if (axes.back() - axes.front() + 1 == static_cast<int>(axes.size())) {
    const Shape& s = x.shape();
    dense = x.contiguous().reshape(Shape{s.product(0, axes.front()), n, s.product(axes.back() + 1, s.rank())});
  } else {
    std::vector<int> order;
    for (int i = 0; i < x.rank(); ++i)
      if (!std::binary_search(axes.begin(), axes.end(), i)) order.push_back(i);
    order.insert(order.end(), axes.begin(), axes.end());
    dense = x.permute(order).contiguous().reshape(Shape{result.numel(), n, 1});
  }
  return Called(op, x)->reduce(reduction, dense).reshape(result);
}

Tensor softmax(const char* op, const Tensor& x, int axis, bool log) {
  check_defined(op, x);
  if (!is_floating(x.dtype())) throw_dtype(op, "f32 or f64", x.dtype());
  axis = x.shape().axis(axis, op);
  return Called(op, x)->softmax(around_axis(x, axis), log).reshape(x.shape());
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int>& axes, bool keep_axes) {
  return reduce("sum", Reduction::sum, x, axes, keep_axes);
}
Tensor max(const Tensor& x, const std::vector<int>& axes, bool keep_axes) {
  return reduce("max", Reduction::max, x, axes, keep_axes);
}
Tensor min(const Tensor& x, const std::vector<int>& axes, bool keep_axes) {
  return reduce("min", Reduction::min, x, axes, keep_axes);
}

Tensor mean(const Tensor& x, const std::vector<int>& axes, bool keep_axes) {
  const Tensor total = reduce("mean", Reduction::sum, x, axes, keep_axes);
  check(x.numel() > 0, "mean", "expected at least one element; got shape {}", x.shape());
  return total / static_cast<double>(x.numel() / total.numel());
}

Tensor sum_squares(const Tensor& x) {
  check_defined("sum_squares", x);
  if (!is_floating(x.dtype())) throw_dtype("sum_squares", "f32 or f64", x.dtype());
  return Called("sum_squares", x)->sum_squares(x.is_opaque() ? x : x.contiguous());
}
Tensor logsumexp(const Tensor& x, const std::vector<int>& axes, bool keep_axes) {
  const Tensor top = reduce("logsumexp", Reduction::max, x, axes, true);
  // A maximum of -inf or +inf must not be subtracted from itself: only a finite number gives 0 then.
  const Tensor zero = Tensor::zeros_like(top);
  const Tensor shift = where(compare<fn::Equal>(top - top, zero), top, zero);
  const Tensor total = reduce("logsumexp", Reduction::sum, unary<fn::Exp>(x - shift), axes, true);
  const Tensor result = unary<fn::Log>(total) + shift;
  return result.reshape(reduced_shape(x.shape(), sorted_axes("logsumexp", x, axes), keep_axes));
}

Tensor argmax(const Tensor& x, int axis) {
  check_defined("argmax", x);
  axis = x.shape().axis(axis, "argmax");
  check(x.shape()[axis] > 0, "argmax", "expected at least one element to choose from; got shape {}", x.shape());
  return Called("argmax", x)->argmax(around_axis(x, axis)).reshape(x.shape().without(axis));
}

Tensor softmax(const Tensor& x, int axis) { return softmax("softmax", x, axis, false); }
Tensor log_softmax(const Tensor& x, int axis) { return softmax("log_softmax", x, axis, true); }

Tensor softmax_backward(const Tensor& y, const Tensor& dy, int axis, bool log) {
  check_operands("softmax", y, dy);
  axis = y.shape().axis(axis, "softmax");
  return Called("softmax", y)->softmax_backward(around_axis(y, axis), around_axis(dy, axis), log).reshape(y.shape());
}

namespace {
// Those on a GPU are its kernels' to check.
void check_in_range(const Tensor& labels, std::int64_t classes) {
  if (labels.device().is_cuda()) return;
  const std::int64_t* label = labels.data<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i)
    check(label[i] >= 0 && label[i] < classes, "cross_entropy", "expected labels in [0, {}); got {} at sample {}", classes,
          label[i], i);
}
}  // namespace

CrossEntropyResult softmax_cross_entropy(const Tensor& logits, const Tensor& labels) {
  const char* op = "cross_entropy";
  check_defined(op, logits);
  check_defined(op, labels);
  if (!is_floating(logits.dtype())) throw_dtype(op, "f32 or f64", logits.dtype());
  if (labels.dtype() != DType::i64) throw_dtype(op, "i64", labels.dtype());
  check<ShapeError>(logits.rank() == 2 && labels.shape() == Shape{logits.size(0)}, op,
                    "expected (N, C) and labels (N); got {} and {}", logits.shape(), labels.shape());
  check<ShapeError>(logits.size(1) >= 1, op, "expected at least one class; got logits {}", logits.shape());
  check<DeviceError>(logits.device() == labels.device(), op, "expected operands on one device; got {} and {} (move with to)",
                     logits.device(), labels.device());
  const Tensor dense = labels.contiguous();
  check_in_range(dense, logits.size(1));
  return Called(op, logits)->cross_entropy(logits.contiguous(), dense);
}

Tensor softmax_cross_entropy_backward(const Tensor& saved, const Tensor& labels, const Tensor& dlosses) {
  check_operands("cross_entropy", saved, dlosses);
  const Shape rows = {saved.size(0)};
  check<ShapeError>(saved.rank() == 2 && labels.shape() == rows && dlosses.shape() == rows, "cross_entropy",
                    "expected (N, C), labels (N) and gradients (N); got {}, {} and {}", saved.shape(), labels.shape(),
                    dlosses.shape());
  const Tensor dense = labels.contiguous();
  check_in_range(dense, saved.size(1));
  return Called("cross_entropy", saved)->cross_entropy_backward(saved, dense, dlosses.contiguous());
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  std::vector<int> axes;
  const int added = x.rank() - shape.rank();
  for (int i = 0; i < x.rank(); ++i)
    if (i < added || (shape[i - added] == 1 && x.shape()[i] != 1)) axes.push_back(i);
  return axes.empty() ? x.reshape(shape) : sum(x, axes, true).reshape(shape);
}

bool all_finite(const Tensor& x) {
  // x - x is 0 for a finite number and NaN otherwise; one NaN makes the sum NaN.
  return x.numel() == 0 || sum(x - x).item<double>() == 0;
}

}  // namespace heft
