// Numbers on their way to the CPU: one kernel writes them all to pinned memory, so that a step is not slowed by a copy for
// each.
#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"
#include "cuda/pinned.h"

namespace heft {
namespace {

constexpr int kMost = 16;                          // tensors of one kernel
constexpr std::size_t kAlign = 16, kLeast = 4096;  // bytes; of a slot
constexpr std::size_t kMostKept = 64;              // slots that nobody waits for

struct Pieces {
  const unsigned char* from[kMost];
  std::int64_t at[kMost], bytes[kMost];
};

// Block (x, k): some of piece k.
__global__ void gather_kernel(Pieces pieces, unsigned char* to) {
  const unsigned char* from = pieces.from[blockIdx.y];
  to += pieces.at[blockIdx.y];
  const std::int64_t bytes = pieces.bytes[blockIdx.y], first = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
                     threads = std::int64_t{gridDim.x} * blockDim.x;
  const std::int64_t words = reinterpret_cast<std::size_t>(from) % 4 == 0 ? bytes / 4 : 0;
  for (std::int64_t i = first; i < words; i += threads)
    reinterpret_cast<unsigned*>(to)[i] = reinterpret_cast<const unsigned*>(from)[i];
  for (std::int64_t i = 4 * words + first; i < bytes; i += threads) to[i] = from[i];
}

struct Part {  // of a slot
  Shape shape;
  DType dtype;
  std::size_t at, bytes;
};

// Pinned memory that was used before.
class Slots {
 public:
  std::shared_ptr<cuda::Pinned> take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto fits = [bytes](const auto& slot) { return slot->bytes >= bytes && slot->bytes <= 4 * std::max(bytes, kLeast); };
    const auto found = std::find_if(free_.begin(), free_.end(), fits);
    std::unique_ptr<cuda::Pinned> slot;
    if (found == free_.end()) {
      slot = std::make_unique<cuda::Pinned>(std::bit_ceil(std::max(bytes, kLeast)));
    } else {
      slot = std::move(*found);
      free_.erase(found);
    }
    return {slot.release(), [this](cuda::Pinned* used) { give_back(used); }};
  }

 private:
  // What is still on its way into it arrives before anything that is asked for later.
  void give_back(cuda::Pinned* used) {
    const std::lock_guard lock(mutex_);
    free_.emplace_back(used);
    if (free_.size() <= kMostKept) return;
    cudaEventSynchronize(free_.front()->copied.event);
    free_.erase(free_.begin());  // that of an earlier size
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<cuda::Pinned>> free_;
};

Slots& slots() {
  static auto* all = new Slots;  // never destroyed, as the stream
  return *all;
}

}  // namespace

std::function<std::vector<Tensor>()> CudaBackend::download(const std::vector<Tensor>& tensors) {
  cuda::check_not_captured();
  std::vector<Part> parts;
  std::size_t total = 0;
  for (const Tensor& x : tensors) {
    parts.push_back({x.shape(), x.dtype(), total, cuda::bytes_of(x)});
    total += (parts.back().bytes + kAlign - 1) / kAlign * kAlign;
  }
  const std::shared_ptr<cuda::Pinned> slot = slots().take(total);
  for (std::size_t first = 0; first < tensors.size(); first += kMost) {
    const std::size_t count = std::min<std::size_t>(kMost, tensors.size() - first);
    Pieces pieces{};
    std::int64_t largest = 0;
    for (std::size_t k = 0; k < count; ++k) {
      pieces.from[k] = cuda::values<unsigned char>(tensors[first + k]);
      pieces.at[k] = static_cast<std::int64_t>(parts[first + k].at);
      pieces.bytes[k] = static_cast<std::int64_t>(parts[first + k].bytes);
      largest = std::max(largest, pieces.bytes[k]);
    }
    const dim3 grid(cuda::blocks_for(largest, 16), static_cast<unsigned>(count));
    cuda::launch(gather_kernel, grid, cuda::kThreads, 0, cuda::stream(), pieces, static_cast<unsigned char*>(slot->memory));
    cuda::launched("download");
  }
  HEFT_CUDA(cudaEventRecord(slot->copied.event, cuda::stream()));
  return [parts, slot] {
    HEFT_CUDA(cudaEventSynchronize(slot->copied.event));
    std::vector<Tensor> arrived;
    for (const Part& part : parts) {
      Tensor& x = arrived.emplace_back(Tensor::empty(part.shape, part.dtype));
      if (part.bytes > 0) std::memcpy(x.mutable_raw(), static_cast<const unsigned char*>(slot->memory) + part.at, part.bytes);
    }
    return arrived;
  };
}

}  // namespace heft
