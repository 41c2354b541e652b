// The GPU at its best: large products on tensor cores, a large copy, and kernels that do nothing. Each the median of several.
#include "bench/limit/rates.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace heft::bench {
namespace {

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}
void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error(std::string(what) + ": " + cublasGetStatusString(status));
}

template <class Handle, auto destroy>
struct Destroy {
  void operator()(Handle handle) const { destroy(handle); }
};
template <class Handle, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<Handle, destroy>>;
using Memory = Owned<void*, cudaFree>;
using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using Replay = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;
using Blas = Owned<cublasHandle_t, cublasDestroy>;

Memory memory(std::size_t bytes) {
  void* at = nullptr;
  check(cudaMalloc(&at, bytes), "cudaMalloc");
  return Memory(at);
}
Stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  return Stream(stream);
}
Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  return Event(event);
}

// Seconds of a call of `work`, which queues something on the stream.
double seconds(cudaStream_t stream, const std::function<void()>& work) {
  const Event start = make_event(), stop = make_event();
  std::vector<double> times;
  for (int repeat = 0; repeat < 23; ++repeat) {
    check(cudaEventRecord(start.get(), stream), "cudaEventRecord");
    work();
    check(cudaEventRecord(stop.get(), stream), "cudaEventRecord");
    check(cudaEventSynchronize(stop.get()), "cudaEventSynchronize");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, start.get(), stop.get()), "cudaEventElapsedTime");
    if (repeat >= 8) times.push_back(ms * 1e-3);  // the first bring the clock up
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// The bits of numbers in (-2, -1] and [1, 2), in either format: with zeros the GPU would draw less power and run faster.
__global__ void noise_kernel(unsigned* bits, unsigned long long n, unsigned keep, unsigned one) {
  for (unsigned long long i = blockIdx.x * 256ull + threadIdx.x; i < n; i += gridDim.x * 256ull) {
    unsigned h = static_cast<unsigned>(i) * 2654435761u;
    h = (h ^ h >> 15) * 2246822519u;
    h = (h ^ h >> 13) * 3266489917u;
    bits[i] = ((h ^ h >> 16) & keep) | one;
  }
}

double product_rate(cudaStream_t stream, cublasHandle_t blas, cudaDataType_t type, cublasComputeType_t compute) {
  constexpr int n = 8192;
  const std::size_t size = type == CUDA_R_32F ? 4 : 2, bytes = size * n * n;
  const Memory a = memory(bytes), b = memory(bytes), c = memory(bytes);
  const bool half = size == 2;
  for (const Memory* x : {&a, &b}) {
    noise_kernel<<<1024, 256, 0, stream>>>(static_cast<unsigned*>(x->get()), bytes / 4, half ? 0x807f807fu : 0x807fffffu,
                                           half ? 0x3f803f80u : 0x3f800000u);
    check(cudaGetLastError(), "noise_kernel");
  }
  const float one = 1, zero = 0;
  const double time = seconds(stream, [&] {
    check(cublasGemmEx(blas, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, a.get(), type, n, b.get(), type, n, &zero, c.get(), type,
                       n, compute, CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
  });
  return 2.0 * n * n * n / time;
}

double copy_rate(cudaStream_t stream) {
  constexpr std::size_t bytes = std::size_t{1} << 30;
  const Memory from = memory(bytes), to = memory(bytes);
  check(cudaMemsetAsync(from.get(), 1, bytes, stream), "cudaMemsetAsync");
  const double time = seconds(stream, [&] {
    check(cudaMemcpyAsync(to.get(), from.get(), bytes, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
  });
  return 2.0 * static_cast<double>(bytes) / time;
}

__global__ void empty_kernel() {}

double launch_time(cudaStream_t stream) {
  constexpr int kKernels = 1000;
  cudaGraph_t recorded = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  for (int i = 0; i < kKernels; ++i) empty_kernel<<<1, 32, 0, stream>>>();
  check(cudaStreamEndCapture(stream, &recorded), "cudaStreamEndCapture");
  const Graph graph(recorded);
  cudaGraphExec_t instance = nullptr;
  check(cudaGraphInstantiate(&instance, graph.get(), 0), "cudaGraphInstantiate");
  const Replay replay(instance);
  return seconds(stream, [&] { check(cudaGraphLaunch(replay.get(), stream), "cudaGraphLaunch"); }) / kKernels;
}

}  // namespace

Rates measure_rates() {
  const Stream stream = make_stream();
  cublasHandle_t handle = nullptr;
  check(cublasCreate(&handle), "cublasCreate");
  const Blas blas(handle);
  check(cublasSetStream(handle, stream.get()), "cublasSetStream");
  return {.tf32 = product_rate(stream.get(), handle, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32),
          .bf16 = product_rate(stream.get(), handle, CUDA_R_16BF, CUBLAS_COMPUTE_32F),
          .copy = copy_rate(stream.get()),
          .launch = launch_time(stream.get())};
}

}  // namespace heft::bench
