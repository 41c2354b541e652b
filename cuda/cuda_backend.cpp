#include "cuda/cuda_backend.h"

#include "core/check.h"
#include "cuda/cuda.h"
#include "cuda/graph.h"
#include "cuda/stream.h"

namespace heft {

Backend& cuda_backend() {
  if (const std::string reason = cuda::why_unavailable(); !reason.empty()) fail<DeviceError>("cuda", "{}", reason);
  static CudaBackend backend;
  return backend;
}

std::unique_ptr<Recording> CudaBackend::record(const std::function<void()>& work) {
  return std::make_unique<cuda::Graph>(work);
}

bool CudaBackend::records_ahead() const { return !cuda::waits_for_kernels(); }

}  // namespace heft
