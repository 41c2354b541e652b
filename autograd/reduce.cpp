#include "autograd/reduce.h"

#include "core/ops.h"

namespace heft {
namespace {

// x's shape with the reduced axes kept as 1, so that a reduced value broadcasts back over x.
Shape kept(const Shape& shape, const std::vector<int>& axes, const char* op) {
  Shape result = shape;
  for (const int axis : axes) result = result.with(shape.axis(axis, op), 1);
  if (axes.empty())
    for (int axis = 0; axis < shape.rank(); ++axis) result = result.with(axis, 1);
  return result;
}

// Whether the axes are kept is in the shape of the result.
Attributes attributes_of(const std::vector<int>& axes) { return {{"axes", axes}}; }

// The elements that won get the gradient, in equal parts; the result moves by the mean of what they do.
Variable extremum(const char* op, const Variable& x, const Tensor& y, const std::vector<int>& axes) {
  const Shape as = kept(x.shape(), axes, op);
  const auto winners = [x = Saved(x.value()), y = Saved(y), as] {
    return compare<fn::Equal>(x, y.get().reshape(as)).astype(x.get().dtype());
  };
  return record(op, y,
                {{x,
                  [=](const Tensor& dy) {
                    const Tensor won = winners();
                    return won * (dy.reshape(as) / sum(won, axes, true));
                  },
                  [=, shape = y.shape()](const Tensor& dx) {
                    const Tensor won = winners();
                    return (sum(won * dx, axes, true) / sum(won, axes, true)).reshape(shape);
                  }}},
                attributes_of(axes));
}

}  // namespace

Variable sum(const Variable& x, const std::vector<int>& axes, bool keep_axes) {
  return record(
      "sum", sum(x.value(), axes, keep_axes),
      {{x, [as = kept(x.shape(), axes, "sum"), shape = x.shape()](const Tensor& dy) { return dy.reshape(as).expand(shape); },
        [=](const Tensor& dx) { return sum(dx, axes, keep_axes); }}},
      attributes_of(axes));
}

Variable mean(const Variable& x, const std::vector<int>& axes, bool keep_axes) {
  const Tensor y = mean(x.value(), axes, keep_axes);
  const double count = static_cast<double>(x.value().numel() / y.numel());
  return record("mean", y,
                {{x,
                  [as = kept(x.shape(), axes, "mean"), shape = x.shape(), count](const Tensor& dy) {
                    return (dy / count).reshape(as).expand(shape);
                  },
                  [=](const Tensor& dx) { return mean(dx, axes, keep_axes); }}},
                attributes_of(axes));
}

Variable max(const Variable& x, const std::vector<int>& axes, bool keep_axes) {
  return extremum("max", x, max(x.value(), axes, keep_axes), axes);
}

Variable min(const Variable& x, const std::vector<int>& axes, bool keep_axes) {
  return extremum("min", x, min(x.value(), axes, keep_axes), axes);
}

Variable logsumexp(const Variable& x, const std::vector<int>& axes, bool keep_axes) {
  const Tensor y = logsumexp(x.value(), axes, keep_axes);
  const auto shares = [x = Saved(x.value()), y = Saved(y), as = kept(x.shape(), axes, "logsumexp")] {
    return unary<fn::Exp>(x.get() - y.get().reshape(as));
  };
  return record("logsumexp", y,
                {{x, [shares, as = kept(x.shape(), axes, "logsumexp")](const Tensor& dy) { return dy.reshape(as) * shares(); },
                  [=](const Tensor& dx) { return sum(shares() * dx, axes, keep_axes); }}},
                attributes_of(axes));
}

Variable softmax(const Variable& x, int axis) {
  const Tensor y = softmax(x.value(), axis);
  // The Jacobian is symmetric: pullback and tangent are one.
  const auto derivative = [y = Saved(y), axis](const Tensor& d) { return softmax_backward(y, d, axis, false); };
  return record("softmax", y, {{x, derivative, derivative}}, {{"axis", axis}});
}

Variable log_softmax(const Variable& x, int axis) {
  const Tensor y = log_softmax(x.value(), axis);
  return record("log_softmax", y,
                {{x, [y = Saved(y), axis](const Tensor& dy) { return softmax_backward(y, dy, axis, true); },
                  [y = Saved(y), axis](const Tensor& dx) { return dx - sum(unary<fn::Exp>(y.get()) * dx, {axis}, true); }}},
                {{"axis", axis}});
}

Tensor argmax(const Variable& x, int axis) { return argmax(x.value(), axis); }

}  // namespace heft
