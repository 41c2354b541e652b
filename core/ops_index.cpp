#include "core/op_support.h"
#include "core/ops.h"

namespace heft {
namespace {

// As i64, every entry in [0, n); on a GPU unchecked, since that would wait for it: its backend reads NaN there.
Tensor checked_index(const char* op, const Tensor& index, std::int64_t n) {
  check_defined(op, index);
  if (index.dtype() != DType::i64 && index.dtype() != DType::i32) throw_dtype(op, "an index of i64 or i32", index.dtype());
  const Tensor i64 = index.astype(DType::i64).contiguous();
  if (i64.device().is_cuda()) return i64;
  const std::int64_t* p = i64.data<std::int64_t>();
  for (std::int64_t i = 0; i < i64.numel(); ++i)
    check<ShapeError>(p[i] >= 0 && p[i] < n, op, "expected indices in [0, {}); got {} at position {}", n, p[i], i);
  return i64;
}

}  // namespace

Tensor index_select(const Tensor& x, int axis, const Tensor& index) {
  check_defined("index_select", x);
  axis = x.shape().axis(axis, "index_select");
  check<ShapeError>(index.rank() == 1, "index_select", "expected an index of rank 1; got shape {}", index.shape());
  const Tensor at = checked_index("index_select", index, x.shape()[axis]);
  return Called("index_select", x)->index_select(around_axis(x, axis), at).reshape(x.shape().with(axis, at.numel()));
}

Tensor index_add(const Tensor& dy, int axis, const Tensor& index, std::int64_t n) {
  check_defined("index_add", dy);
  axis = dy.shape().axis(axis, "index_add");
  check<ShapeError>(index.rank() == 1 && index.numel() == dy.shape()[axis], "index_add",
                    "expected an index of shape ({},); got {}", dy.shape()[axis], index.shape());
  const Tensor at = checked_index("index_add", index, n);
  return Called("index_add", dy)->index_add(around_axis(dy, axis), at, n).reshape(dy.shape().with(axis, n));
}

Tensor gather(const Tensor& x, int axis, const Tensor& index) {
  check_defined("gather", x);
  axis = x.shape().axis(axis, "gather");
  check<ShapeError>(index.rank() == x.rank() && index.shape().with(axis, 1) == x.shape().with(axis, 1), "gather",
                    "expected an index of shape {} except at axis {}; got {}", x.shape(), axis, index.shape());
  const Tensor at = checked_index("gather", index, x.shape()[axis]);
  return Called("gather", x)->gather(around_axis(x, axis), around_axis(at, axis)).reshape(index.shape());
}

Tensor gather_backward(const Tensor& dy, int axis, const Tensor& index, std::int64_t n) {
  axis = dy.shape().axis(axis, "gather");
  check<ShapeError>(dy.shape() == index.shape(), "gather", "expected a gradient of shape {}; got {}", index.shape(),
                    dy.shape());
  const Tensor at = checked_index("gather", index, n);
  return Called("gather", dy)
      ->gather_backward(around_axis(dy, axis), around_axis(at, axis), n)
      .reshape(dy.shape().with(axis, n));
}

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  check<ShapeError>(!parts.empty(), "concat", "expected at least one tensor; got none");
  const Tensor& first = parts.front();
  check_defined("concat", first);
  axis = first.shape().axis(axis, "concat");
  std::int64_t total = 0;
  for (const Tensor& part : parts) {
    check_operands("concat", first, part);
    check<ShapeError>(part.rank() == first.rank() && part.shape().with(axis, 0) == first.shape().with(axis, 0), "concat",
                      "expected shapes equal but for axis {}; got {} and {}", axis, first.shape(), part.shape());
    total += part.shape()[axis];
  }
  Tensor result = Tensor::empty(first.shape().with(axis, total), first.dtype(), first.device());
  std::int64_t at = 0;
  for (const Tensor& part : parts) {
    const std::int64_t next = at + part.shape()[axis];
    result.slice(axis, at, next).copy_(part);
    at = next;
  }
  return result;
}

Tensor pad(const Tensor& x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after, double value) {
  check_defined("pad", x);
  const auto rank = static_cast<std::size_t>(x.rank());
  check<ShapeError>(before.size() == rank && after.size() == rank, "pad", "expected {} extents before and after; got {} and {}",
                    rank, before.size(), after.size());
  Shape shape = x.shape();
  for (std::size_t i = 0; i < rank; ++i) {
    check<ShapeError>(before[i] >= 0 && after[i] >= 0, "pad", "expected padding of at least 0; got {} and {} at axis {}",
                      before[i], after[i], i);
    const int axis = static_cast<int>(i);
    shape = shape.with(axis, shape[axis] + before[i] + after[i]);
  }
  Tensor result = Tensor::full(shape, value, x.dtype(), x.device());
  Tensor middle = result;
  for (std::size_t i = 0; i < rank; ++i) {
    const int axis = static_cast<int>(i);
    middle = middle.slice(axis, before[i], before[i] + x.shape()[axis]);
  }
  middle.copy_(x);
  return result;
}

Tensor one_hot(const Tensor& labels, std::int64_t classes, DType dtype) {
  check(classes > 0, "one_hot", "expected at least one class; got {}", classes);
  const Tensor at = checked_index("one_hot", labels, classes);
  return compare<fn::Equal>(at.unsqueeze(-1), Tensor::arange(classes).to(at.device())).astype(dtype);
}

}  // namespace heft
