// What the operation layer does before it calls a backend: check operands and bring layouts in order. Internal.
#pragma once

#include "core/backend.h"
#include "core/check.h"
#include "core/memory.h"

namespace heft {

inline void check_defined(const char* op, const Tensor& x) {
  check(x.defined(), op, "expected a defined tensor; got an undefined one");
}

inline void check_operands(const char* op, const Tensor& a, const Tensor& b) {
  check_defined(op, a);
  check_defined(op, b);
  check<DTypeError>(a.dtype() == b.dtype(), op, "expected operands of one dtype; got {} and {} (convert with astype)",
                    a.dtype(), b.dtype());
  check<DeviceError>(a.device() == b.device(), op, "expected operands on one device; got {} and {} (move with to)", a.device(),
                     b.device());
}

// The backend of x while it does `op`, which is what errors about memory name meanwhile.
class Called {
 public:
  Called(const char* op, const Tensor& x) : user_(op), backend_(backend_for(x)) {}
  Backend* operator->() const { return &backend_; }
  operator Backend&() const { return backend_; }

 private:
  MemoryUser user_;
  Backend& backend_;
};

inline bool padded(const Tensor& x) { return x.buffer_elements() != x.numel(); }

// Whether `backend` can work on x in the opaque layout it has. `keeps_zero`: the operation leaves padding zero.
inline bool usable_layout(const Tensor& x, const Backend& backend, bool keeps_zero = true) {
  return x.is_opaque() && &x.layout().opaque()->owner() == &backend && (keeps_zero || !padded(x));
}

// x as it is where `backend` understands its layout, else row-major and dense.
inline Tensor native(const Tensor& x, const Backend& backend, bool keeps_zero = true) {
  return usable_layout(x, backend, keeps_zero) ? x : x.contiguous();
}

// native(x, backend) where only its form is asked for.
inline Tensor native_form(const Tensor& x, const Backend& backend) {
  return usable_layout(x, backend) || x.is_contiguous() ? x : Tensor::empty(x.shape(), x.dtype(), x.device());
}

// x viewed as (outer, n, inner) around `axis`.
inline Tensor around_axis(const Tensor& x, int axis) {
  const Shape& s = x.shape();
  return x.contiguous().reshape(Shape{s.product(0, axis), s[axis], s.product(axis + 1, s.rank())});
}

}  // namespace heft
