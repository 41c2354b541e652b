// What the interpreter must notice, a kernel each, and the same without the fault: heft_ptx_faults NAME. Each is run by ctest,
// which expects the fault's message, or "as it should be".
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr int kThreads = 128;

// Every thread reads what a thread of another warp has written.
template <bool kWaits>
__global__ void pass_on(int* to) {
  __shared__ int values[kThreads];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kWaits) __syncthreads();
  to[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

// The same within one warp.
template <bool kWaits>
__global__ void pass_on_in_warp(int* to) {
  __shared__ int values[32];
  if (threadIdx.x >= 32) return;
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kWaits) __syncthreads();
  to[threadIdx.x] = values[31 - threadIdx.x];
}

// Values are overwritten for the next round while other warps may still read those of the last.
template <bool kWaits>
__global__ void rounds(int* to) {
  __shared__ int values[kThreads];
  int sum = 0;
  for (int round = 0; round < 4; ++round) {
    values[threadIdx.x] = round;
    __syncthreads();
    sum += values[(threadIdx.x + 32) % kThreads];
    if (kWaits) __syncthreads();
  }
  to[threadIdx.x] = sum;
}

// Half of a warp goes to one barrier and half to another.
__global__ void part(int* to) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
    to[threadIdx.x] = 1;
  } else {
    to[threadIdx.x] = 2;
    __syncthreads();
  }
}

__global__ void store_beyond(int* to, int n) { to[static_cast<int>(threadIdx.x) + n] = 1; }

__global__ void store_askew(char* to) { *reinterpret_cast<int*>(to + 4 * threadIdx.x + 2) = 1; }

__global__ void share_too_much(int* to) {
  extern __shared__ int shared[];
  shared[threadIdx.x] = 1;
  __syncthreads();
  to[threadIdx.x] = shared[threadIdx.x];
}

__global__ void copy_in(const float* from, float* to, bool wait) {
  __shared__ float values[kThreads];
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(&values[threadIdx.x]));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at), "l"(from + threadIdx.x));
  asm volatile("cp.async.commit_group;");
  if (wait) asm volatile("cp.async.wait_group 0;" ::: "memory");
  to[threadIdx.x] = values[threadIdx.x];
}

// Neighbouring bytes of neighbouring threads.
__global__ void bytes(int* to) {
  __shared__ unsigned char values[kThreads];
  values[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
  __syncthreads();
  to[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

__device__ void arrive(unsigned barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory"); }
__device__ void await(unsigned barrier, int parity) {
  asm volatile(
      "{.reg .pred done; again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; @done bra over; bra again; over:}" ::
          "r"(barrier),
      "r"(parity)
      : "memory");
}

// A thread hands a value over in the second phase of an mbarrier; one of another warp waits for both phases before it reads, or
// for the first alone.
template <bool kWaits>
__global__ void two_phases(int* to) {
  __shared__ unsigned long long barrier;
  __shared__ volatile int value;
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(&barrier));
  if (threadIdx.x == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 2;" ::"r"(at) : "memory");
  __syncthreads();
  if (threadIdx.x == 0) {
    arrive(at), await(at, 0);
    value = kThreads - 1;
    arrive(at);
  } else if (threadIdx.x == 32) {
    await(at, 0);
    if (kWaits) arrive(at), await(at, 1);
    to[0] = value;
  } else if (threadIdx.x == 64) {
    arrive(at);
  }
}

// The last of two blocks reads what both have written; the thread that tells of it must know that all of its block have.
__device__ unsigned blocks_done;
template <bool kWaits>
__global__ void meet(int* to, int* middle) {
  const unsigned half = kThreads / 2, at = blockIdx.x * half + threadIdx.x;
  middle[at] = static_cast<int>(kThreads - 1 - at);
  __shared__ bool last;
  __threadfence();
  if (kWaits) __syncthreads();
  if (threadIdx.x == 0) last = atomicInc(&blocks_done, 1) == 1;
  __syncthreads();
  if (last)
    for (unsigned k = threadIdx.x; k < kThreads; k += half) to[k] = middle[k];
}

}  // namespace

int main(int count, char** arguments) {
  const char* name = count > 1 ? arguments[1] : "";
  const auto is = [&](const char* one) { return std::strcmp(name, one) == 0; };
  cudaStream_t stream = nullptr;
  int* device = nullptr;
  float* source = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaMalloc(reinterpret_cast<void**>(&device), kThreads * sizeof(int));
  cudaMalloc(reinterpret_cast<void**>(&source), kThreads * sizeof(float));
  cudaMemset(device, 0, kThreads * sizeof(int));
  const std::vector<float> ones(kThreads, 1.f);
  cudaMemcpy(source, ones.data(), kThreads * sizeof(float), cudaMemcpyHostToDevice);
  std::vector<int> want(kThreads), got(kThreads);
  for (int k = 0; k < kThreads; ++k) want[static_cast<std::size_t>(k)] = kThreads - 1 - k;

  if (is("race")) pass_on<false><<<1, kThreads, 0, stream>>>(device);
  else if (is("no_race")) pass_on<true><<<1, kThreads, 0, stream>>>(device);
  else if (is("race_in_warp")) pass_on_in_warp<false><<<1, kThreads, 0, stream>>>(device);
  else if (is("race_between_rounds")) rounds<false><<<1, kThreads, 0, stream>>>(device);
  else if (is("divergent_barrier")) part<<<1, kThreads, 0, stream>>>(device);
  else if (is("out_of_bounds")) store_beyond<<<1, kThreads, 0, stream>>>(device, 1);
  else if (is("misaligned")) store_askew<<<1, 8, 0, stream>>>(reinterpret_cast<char*>(device));
  else if (is("shared_out_of_bounds")) share_too_much<<<1, kThreads, (kThreads - 1) * sizeof(int), stream>>>(device);
  else if (is("copy_not_awaited") || is("copy_awaited"))
    copy_in<<<1, kThreads, 0, stream>>>(source, reinterpret_cast<float*>(device), is("copy_awaited"));
  else if (is("race_between_blocks")) meet<false><<<2, kThreads / 2, 0, stream>>>(device, reinterpret_cast<int*>(source));
  else if (is("blocks_that_tell")) meet<true><<<2, kThreads / 2, 0, stream>>>(device, reinterpret_cast<int*>(source));
  else if (is("bytes")) bytes<<<1, kThreads, 0, stream>>>(device);
  else if (is("phase_not_awaited")) two_phases<false><<<1, kThreads, 0, stream>>>(device);
  else if (is("phases_awaited"))
    two_phases<true><<<1, kThreads, 0, stream>>>(device), want.assign(kThreads, 0), want[0] = kThreads - 1;
  else return std::printf("no such fault: %s\n", name), 2;
  if (cudaGetLastError() != cudaSuccess || cudaStreamSynchronize(stream) != cudaSuccess)
    return std::printf("not launched\n"), 1;
  cudaMemcpy(got.data(), device, kThreads * sizeof(int), cudaMemcpyDeviceToHost);
  if (!is("copy_awaited") ? got == want : std::memcmp(got.data(), ones.data(), kThreads * sizeof(float)) == 0)
    std::printf("as it should be\n");
  else std::printf("other values\n");
}
