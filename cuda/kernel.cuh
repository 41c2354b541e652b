// kernel<<<grid, block, shared, stream>>>(arguments...) as a function: arguments become the parameters' types, and what the
// runtime objects to is thrown. Internal to cuda/.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace heft::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
            const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared, config.stream = stream;
  // What it says is left to launched(), which knows the operation.
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

}  // namespace heft::cuda
