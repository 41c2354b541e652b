// The one stream that everything runs on, in the order in which it was asked for, and the handle of cuBLAS on it. heft
// computes on the GPU that CUDA calls 0; CUDA_VISIBLE_DEVICES chooses another. Internal to cuda/.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <cstddef>

#include "cuda/cuda.h"

namespace heft::cuda {

cudaStream_t stream();
cublasHandle_t cublas();
// What cuBLAS shall compute f32 products in.
cublasComputeType_t compute_type(Precision precision);
// HEFT_CUDA_SYNC=1 in the environment: every kernel is waited for, and no step is captured.
bool waits_for_kernels();
// Whether a graph is being captured: nothing may wait for the device then.
bool capturing();
// Throws DeviceError where one is: before what crosses to the CPU or from there.
void check_not_captured();

}  // namespace heft::cuda
