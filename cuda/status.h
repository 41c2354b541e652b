// Every call of the CUDA runtime and of cuBLAS goes through these, so that none fails unseen. Internal to cuda/.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <string>

namespace heft::cuda {

// Throw DeviceError with the call and what the runtime said of it, unless it succeeded.
void check_status(cudaError_t status, const char* call);
void check_status(cublasStatus_t status, const char* call);
// After a kernel launch of `op`: throws DeviceError naming it where the launch failed; under HEFT_CUDA_SYNC=1 waits for the
// kernel, so that a fault is reported where it happened and not by a later call.
void launched(const char* op);
// Throws ShapeError unless `condition`: for device code, whose compiler does not take fmt.
void check_shape(bool condition, const char* op, const std::string& expectation);

}  // namespace heft::cuda

#define HEFT_CUDA(call) ::heft::cuda::check_status((call), #call)
