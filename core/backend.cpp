#include "core/backend.h"

#include "core/ops.h"
#ifdef HEFT_ONEDNN
#include "core/cpu/cpu_backend.h"
#endif

namespace heft {
namespace {
thread_local Backend* scoped_backend = nullptr;
}

Backend& cpu_backend() {
#ifdef HEFT_ONEDNN
  return onednn_backend();
#else
  return reference_backend();
#endif
}

Backend& backend_for(Device device, DType dtype) {
  if (device.is_cuda()) return cuda_backend();
  if (scoped_backend) return *scoped_backend;
  return dtype == DType::f64 ? reference_backend() : cpu_backend();
}

BackendScope::BackendScope(Backend& backend) : previous_(scoped_backend) { scoped_backend = &backend; }
BackendScope::~BackendScope() { scoped_backend = previous_; }

Tensor Backend::conv2d_prepare_weight(const Tensor& weight, const Tensor&, const Conv2dGeometry&) { return weight; }

Tensor Backend::linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor y = matmul(x.unsqueeze(0), weight.unsqueeze(0), false, true).squeeze(0);
  return bias.defined() ? y + bias : y;
}

Tensor Backend::sum_squares(const Tensor& x) {
  const Tensor wide = x.contiguous().astype(DType::f64);
  return sum(wide * wide);
}

}  // namespace heft
