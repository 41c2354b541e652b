#include "autograd/shape_ops.h"

#include "core/check.h"
#include "core/ops.h"

namespace heft {

Variable reshape(const Variable& x, const std::vector<std::int64_t>& extents) {
  const Tensor y = x.value().reshape(extents);
  return record("reshape", y,
                {{x, [shape = x.shape()](const Tensor& dy) { return dy.reshape(shape); },
                  [shape = y.shape()](const Tensor& dx) { return dx.reshape(shape); }}});
}

Variable flatten(const Variable& x, int first_axis) {
  const Shape shape = x.value().flatten(first_axis).shape();
  return reshape(x, std::vector<std::int64_t>(shape.begin(), shape.end()));
}

Variable transpose(const Variable& x, int axis_a, int axis_b) {
  const auto swap = [=](const Tensor& d) { return d.transpose(axis_a, axis_b); };
  return record("transpose", swap(x.value()), {{x, swap, swap}}, {{"axes", std::vector<int>{axis_a, axis_b}}});
}

Variable permute(const Variable& x, const std::vector<int>& axes) {
  const Tensor y = x.value().permute(axes);
  std::vector<int> inverse(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i)
    inverse[static_cast<std::size_t>(x.shape().axis(axes[i], "permute"))] = static_cast<int>(i);
  return record(
      "permute", y,
      {{x, [inverse](const Tensor& dy) { return dy.permute(inverse); }, [axes](const Tensor& dx) { return dx.permute(axes); }}},
      {{"axes", axes}});
}

Variable slice(const Variable& x, int axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
  const auto cut = [=](const Tensor& d) { return d.slice(axis, begin, end, step); };
  return record("slice", cut(x.value()),
                {{x,
                  [cut, shape = x.shape()](const Tensor& dy) {
                    Tensor dx = Tensor::zeros(shape, dy.dtype(), dy.device());
                    cut(dx).copy_(dy);
                    return dx;
                  },
                  cut}},
                {{"axis", axis}, {"begin", begin}, {"end", end}, {"step", step}});
}

Variable concat(const std::vector<Variable>& parts, int axis) {
  std::vector<Tensor> values;
  for (const Variable& part : parts) values.push_back(part.value());
  const Tensor y = concat(values, axis);
  std::vector<Input> inputs;
  std::int64_t begin = 0;
  for (const Variable& part : parts) {
    const std::int64_t end = begin + part.size(axis);
    std::vector<std::int64_t> before(static_cast<std::size_t>(y.rank())), after = before;
    const auto at = static_cast<std::size_t>(y.shape().axis(axis, "concat"));
    before[at] = begin, after[at] = y.size(axis) - end;
    inputs.push_back({part, [=](const Tensor& dy) { return dy.slice(axis, begin, end); },
                      [=](const Tensor& dx) { return pad(dx, before, after); }});
    begin = end;
  }
  return record("concat", y, std::move(inputs), {{"axis", axis}});
}

Variable pad(const Variable& x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after, double value) {
  return record("pad", pad(x.value(), before, after, value),
                {{x,
                  [before, shape = x.shape()](const Tensor& dy) {
                    Tensor dx = dy;
                    for (int axis = 0; axis < shape.rank(); ++axis) {
                      const std::int64_t begin = before[static_cast<std::size_t>(axis)];
                      dx = dx.slice(axis, begin, begin + shape[axis]);
                    }
                    return dx;
                  },
                  [before, after](const Tensor& dx) { return pad(dx, before, after); }}},
                {{"before", before}, {"after", after}, {"value", value}});
}

Variable expand(const Variable& x, const Shape& shape) {
  return record("expand", x.value().expand(shape),
                {{x, [from = x.shape()](const Tensor& dy) { return sum_to(dy, from); },
                  [shape](const Tensor& dx) { return dx.expand(shape); }}});
}

Variable gather(const Variable& x, int axis, const Tensor& index) {
  return record(
      "gather", gather(x.value(), axis, index),
      {{x, [axis, index = Saved(index), n = x.size(axis)](const Tensor& dy) { return gather_backward(dy, axis, index, n); },
        [axis, index = Saved(index)](const Tensor& dx) { return gather(dx, axis, index); }}});
}

Variable index_select(const Variable& x, int axis, const Tensor& index) {
  return record("index_select", index_select(x.value(), axis, index),
                {{x, [axis, index = Saved(index), n = x.size(axis)](const Tensor& dy) { return index_add(dy, axis, index, n); },
                  [axis, index = Saved(index)](const Tensor& dx) { return index_select(dx, axis, index); }}});
}

Variable embedding(const Variable& table, const Tensor& index) {
  check<ShapeError>(table.rank() == 2, "embedding", "expected a table of shape (V, D); got {}", table.shape());
  check(index.defined(), "embedding", "expected a defined index; got an undefined one");
  std::vector<std::int64_t> extents(index.shape().begin(), index.shape().end());
  extents.push_back(table.size(1));
  return reshape(index_select(table, 0, index.flatten()), extents);
}

}  // namespace heft
