// Launches that begin while the kernel before them in the stream still runs: its last blocks and the next kernel's preparations
// overlap (programmatic dependent launch). A kernel launched so calls wait_for_predecessor() before its first access to global
// memory; what comes before that may only compute. allow_successor() lets the next kernel begin once every block has called it.
// Internal to cuda/.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "cuda/status.h"

namespace heft::cuda {

__device__ inline void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ inline void allow_successor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

template <class... Parameters, class... Arguments>
void launch_overlapped(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
                       const Arguments&... arguments) {
  // Code for older GPUs waits for nothing, so it may not begin early.
  static const bool waits = [kernel] {
    cudaFuncAttributes attributes{};
    HEFT_CUDA(cudaFuncGetAttributes(&attributes, kernel));
    return attributes.ptxVersion >= 90;
  }();
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared, config.stream = stream;
  config.attrs = &attribute, config.numAttrs = waits ? 1 : 0;
  HEFT_CUDA(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

}  // namespace heft::cuda
