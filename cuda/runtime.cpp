// The seam in a build with CUDA: asks the runtime what there is.
#include <cuda_runtime_api.h>

#include "core/backend.h"
#include "core/check.h"
#include "core/memory.h"
#include "cuda/cuda.h"

namespace heft {

namespace cuda {

bool is_available() { return false; }

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string why_unavailable() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return fmt::format("no GPU can be used: {}", cudaGetErrorString(status));
  return fmt::format("this version has no CUDA kernels yet ({} GPU{} found); use Device::cpu()", count, count == 1 ? "" : "s");
}

}  // namespace cuda

Backend& cuda_backend() { fail<DeviceError>("cuda", "{}", cuda::why_unavailable()); }
Allocator& cuda_allocator(int) { fail<DeviceError>("cuda", "{}", cuda::why_unavailable()); }

}  // namespace heft
