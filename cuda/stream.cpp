#include "cuda/stream.h"

#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "cuda/cuda.h"
#include "cuda/status.h"

namespace heft::cuda {
namespace {

struct Runtime {
  Runtime() {
    if (const std::string reason = why_unavailable(); !reason.empty()) fail<DeviceError>("cuda", "{}", reason);
    HEFT_CUDA(cudaSetDevice(0));
    HEFT_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    HEFT_CUDA(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  }
  cudaStream_t stream = nullptr;
  int multiprocessors = 0;
};

// Never destroyed: tensors of static lifetime may outlive any other order.
Runtime& runtime() {
  static auto* one = new Runtime;
  return *one;
}

cublasHandle_t make_cublas() {
  cublasHandle_t handle = nullptr;
  HEFT_CUDA(cublasCreate(&handle));
  HEFT_CUDA(cublasSetStream(handle, stream()));
  // A workspace of our own: the one that cuBLAS makes by itself would be allocated during a capture.
  constexpr std::size_t kWorkspace = 32u << 20;
  void* workspace = nullptr;
  HEFT_CUDA(cudaMalloc(&workspace, kWorkspace));
  HEFT_CUDA(cublasSetWorkspace(handle, workspace, kWorkspace));
  return handle;
}

}  // namespace

bool waits_for_kernels() {
  static const bool sync = [] {
    const char* value = std::getenv("HEFT_CUDA_SYNC");
    return value != nullptr && std::strcmp(value, "0") != 0;
  }();
  return sync;
}

cudaStream_t stream() { return runtime().stream; }
int multiprocessors() { return runtime().multiprocessors; }

cublasComputeType_t compute_type(Precision precision) {
  switch (precision) {
    case Precision::tf32: return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::bf16: return CUBLAS_COMPUTE_32F_FAST_16BF;
    case Precision::f32: break;
  }
  return CUBLAS_COMPUTE_32F;
}

cublasHandle_t cublas() {
  static const cublasHandle_t handle = make_cublas();
  return handle;
}

void synchronize() { HEFT_CUDA(cudaStreamSynchronize(stream())); }

bool capturing() {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  HEFT_CUDA(cudaStreamIsCapturing(stream(), &status));
  return status != cudaStreamCaptureStatusNone;
}

void check_not_captured() {
  check<DeviceError>(!capturing(), "cuda",
                     "expected a captured step to leave its tensors on the GPU; got a copy from or to the CPU");
}

void check_status(cudaError_t status, const char* call) {
  if (status != cudaSuccess) [[unlikely]]
    fail<DeviceError>("cuda", "expected {} to succeed; got {}: {}", call, cudaGetErrorName(status), cudaGetErrorString(status));
}

void check_status(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]]
    fail<DeviceError>("cuda", "expected {} to succeed; got {}", call, cublasGetStatusName(status));
}

void check_shape(bool condition, const char* op, const std::string& expectation) {
  check<ShapeError>(condition, op, "expected {}", expectation);
}

void launched(const char* op) {
  cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess && waits_for_kernels() && !capturing()) status = cudaStreamSynchronize(stream());
  if (status != cudaSuccess) [[unlikely]]
    fail<DeviceError>(op, "expected its kernel to run on the GPU; got {}: {}{}", cudaGetErrorName(status),
                      cudaGetErrorString(status),
                      waits_for_kernels() ? "" : " (HEFT_CUDA_SYNC=1 finds the operation that failed)");
}

}  // namespace heft::cuda
