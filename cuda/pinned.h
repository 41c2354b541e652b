// What batches of input, and numbers on their way back, pass through: memory of the CPU that a GPU reaches by itself, and the
// event that says when it has. Internal to cuda/.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "core/tensor.h"
#include "cuda/status.h"

namespace heft::cuda {

inline std::size_t bytes_of(const Tensor& x) { return static_cast<std::size_t>(x.numel()) * size_of(x.dtype()); }

struct Event {
  Event() { HEFT_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming)); }
  ~Event() { cudaEventDestroy(event); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t event = nullptr;
};

struct Pinned {
  explicit Pinned(std::size_t bytes) : bytes(bytes) { HEFT_CUDA(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault)); }
  ~Pinned() { cudaFreeHost(memory); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  void* memory = nullptr;
  std::size_t bytes;
  Event copied;  // the last copy out of it, or into it
};

}  // namespace heft::cuda
