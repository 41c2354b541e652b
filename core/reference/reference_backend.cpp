#include "core/reference/reference_backend.h"
#include "core/check.h"

namespace heft {

Backend& reference_backend() {
  static ReferenceBackend backend;
  return backend;
}

Tensor ReferenceBackend::to_layout(const Tensor& x, const Layout& layout) {
  check(!layout.is_opaque(), "to_layout", "expected row-major, the only layout of the reference backend; got {}", layout.str());
  if (x.is_opaque()) return x.layout().opaque()->owner().to_layout(x, layout);
  if (x.is_contiguous()) return x;
  Tensor dense = Tensor::empty(x.shape(), x.dtype());
  copy(x, dense);
  return dense;
}

Tensor ReferenceBackend::plain(const Tensor& x) { return to_layout(x, Layout{}); }

Tensor ReferenceBackend::as(const Tensor& x, DType dtype) { return x.dtype() == dtype ? x : cast(x, dtype); }

Tensor ReferenceBackend::as_double(const Tensor& x) { return as(plain(x), DType::f64); }

}  // namespace heft
