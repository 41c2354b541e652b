#include "core/op_support.h"
#include "core/ops.h"

namespace heft {
namespace {

// Brings every operand to one layout: the first usable opaque one among operands of equal shape, else row-major; one that
// rounds only where all operands have it. Strided operands stay strided: binary kernels walk them.
void align(Backend& backend, bool keeps_zero, std::initializer_list<Tensor*> operands) {
  const Tensor* model = nullptr;
  const Tensor& first = **operands.begin();
  bool equal_shapes = true, equal_layouts = true;
  for (const Tensor* t : operands) {
    equal_shapes = equal_shapes && t->shape() == first.shape();
    equal_layouts = equal_layouts && t->layout() == first.layout();
  }
  for (const Tensor* t : operands)
    if (!model && usable_layout(*t, backend, keeps_zero) && (equal_layouts || !is_compact(*t))) model = t;
  const Layout layout = model && equal_shapes ? model->layout() : Layout{};
  for (Tensor* t : operands) {
    if (t->layout() == layout) continue;
    *t = layout.is_opaque() && !t->is_opaque() ? backend.to_layout(t->contiguous(), layout) : t->contiguous();
    if (t->layout() != layout) *t = backend.to_layout(*t, layout);
  }
}

}  // namespace

Tensor unary_op(int op, const char* name, bool keeps_zero, Params params, const Tensor& x) {
  check_defined(name, x);
  if (!is_floating(x.dtype())) throw_dtype(name, "f32 or f64 (convert with astype)", x.dtype());
  const Called backend(name, x);
  return backend->unary(op, params, native(x, backend, keeps_zero));
}

Tensor unary_backward_op(int op, const char* name, bool keeps_zero, Params params, const Tensor& x, const Tensor& y,
                         const Tensor& dy) {
  check_operands(name, x, dy);
  check<ShapeError>(dy.shape() == x.shape(), name, "expected a gradient of shape {}; got {}", x.shape(), dy.shape());
  const Called backend(name, x);
  Tensor in = native(x, backend, keeps_zero), out = native(y, backend, keeps_zero), seed = native(dy, backend, keeps_zero);
  align(backend, keeps_zero, {&out, &in, &seed});
  return backend->unary_backward(op, params, in, out, seed);
}

Tensor binary_op(int op, const char* name, bool keeps_zero, const Tensor& a, const Tensor& b) {
  check_operands(name, a, b);
  broadcast(a.shape(), b.shape(), name);
  const Called backend(name, a);
  Tensor left = a, right = b;
  align(backend, keeps_zero, {&left, &right});
  return backend->binary(op, left, right);
}

Tensor binary_backward_op(int op, const char* name, bool keeps_zero, int which, const Tensor& a, const Tensor& b,
                          const Tensor& y, const Tensor& dy) {
  check_operands(name, a, dy);
  check<ShapeError>(dy.shape() == y.shape(), name, "expected a gradient of shape {}; got {}", y.shape(), dy.shape());
  const Called backend(name, a);
  Tensor left = a, right = b, out = y, seed = dy;
  align(backend, keeps_zero, {&left, &right, &out, &seed});
  return backend->binary_backward(op, which, left, right, out, seed);
}

Tensor compare_op(int op, const char* name, const Tensor& a, const Tensor& b) {
  check_operands(name, a, b);
  broadcast(a.shape(), b.shape(), name);
  return Called(name, a)->compare(op, a.is_opaque() ? a.contiguous() : a, b.is_opaque() ? b.contiguous() : b);
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check_operands("where", a, b);
  check_defined("where", condition);
  if (condition.dtype() != DType::boolean) throw_dtype("where", "a bool condition", condition.dtype());
  check<DeviceError>(condition.device() == a.device(), "where", "expected operands on one device; got {} and {}",
                     condition.device(), a.device());
  broadcast(condition.shape(), broadcast(a.shape(), b.shape(), "where"), "where");
  const auto plain = [](const Tensor& x) { return x.is_opaque() ? x.contiguous() : x; };
  return Called("where", a)->where(condition, plain(a), plain(b));
}

}  // namespace heft
