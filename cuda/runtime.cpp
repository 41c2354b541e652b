// What there is of a GPU, in a build with CUDA.
#include <cuda_runtime_api.h>

#include "core/check.h"
#include "cuda/cuda.h"

namespace heft::cuda {
namespace {

std::string find_reason() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver)
    return fmt::format("no GPU can be used: there is no NVIDIA driver, or one too old for CUDA {}.{} (nvidia-smi shows which)",
                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    return "no GPU can be used: none is visible (nvidia-smi lists them, CUDA_VISIBLE_DEVICES may hide them)";
  if (status != cudaSuccess) return fmt::format("no GPU can be used: {}", cudaGetErrorString(status));
  return "";
}

}  // namespace

bool is_available() { return why_unavailable().empty(); }

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string why_unavailable() {
  static const std::string reason = find_reason();
  return reason;
}

}  // namespace heft::cuda
