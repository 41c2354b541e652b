// Input from the CPU: through pinned memory and on a stream of its own, so that the next batch crosses while this one is
// computed.
#include <cstring>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "cuda/cuda_backend.h"
#include "cuda/status.h"
#include "cuda/stream.h"

namespace heft {
namespace {

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
  Event copied;  // the last copy out of it
};

// A copy may only overwrite a tensor that no queued work reads. A target that was free already when the call before this one
// began was last read by work queued before that; so a copy waits for the work up to then and runs beside what has come since.
struct Target {
  Tensor tensor;
  bool was_free = false;
};

class Uploads {
 public:
  Tensor upload(const Tensor& x) {
    const std::lock_guard lock(mutex_);
    const auto bytes = static_cast<std::size_t>(x.numel()) * size_of(x.dtype());
    Pinned& pinned = pinned_for(bytes);
    std::memcpy(pinned.memory, x.raw(), bytes);
    Target& target = target_for(x);
    HEFT_CUDA(cudaStreamWaitEvent(stream_, calls_[call_ % 2].event, 0));
    HEFT_CUDA(cudaMemcpyAsync(target.tensor.mutable_raw(), pinned.memory, bytes, cudaMemcpyHostToDevice, stream_));
    HEFT_CUDA(cudaEventRecord(pinned.copied.event, stream_));
    HEFT_CUDA(cudaStreamWaitEvent(cuda::stream(), pinned.copied.event, 0));
    // The work queued by now; what the next call waits for.
    HEFT_CUDA(cudaEventRecord(calls_[++call_ % 2].event, cuda::stream()));
    // Not this one, which nobody but us holds yet.
    for (Target& other : targets_) other.was_free = &other != &target && other.tensor.storage_users() == 1;
    return target.tensor;
  }

  Uploads() {
    HEFT_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    HEFT_CUDA(cudaEventRecord(calls_[0].event, cuda::stream()));
  }

 private:
  static constexpr std::size_t kMostTargets = 16;  // kept; more are made where more batches are held at once

  Pinned& pinned_for(std::size_t bytes) {
    for (const auto& one : pinned_) {
      if (one->bytes >= bytes && cudaEventQuery(one->copied.event) == cudaSuccess) return *one;
      cudaGetLastError();  // "not ready" is no error, but the next kernel's launch would be taken to have failed with it
    }
    if (pinned_.size() < 4) return *pinned_.emplace_back(std::make_unique<Pinned>(bytes));
    Pinned& oldest = *pinned_[next_++ % pinned_.size()];
    HEFT_CUDA(cudaEventSynchronize(oldest.copied.event));
    if (oldest.bytes >= bytes) return oldest;
    auto& place = pinned_[(next_ - 1) % pinned_.size()];
    place = std::make_unique<Pinned>(bytes);
    return *place;
  }

  Target& target_for(const Tensor& x) {
    for (Target& target : targets_)
      if (target.was_free && target.tensor.storage_users() == 1 && target.tensor.shape() == x.shape() &&
          target.tensor.dtype() == x.dtype())
        return target;
    // Memory that the allocator gives out may still be read by queued work, so this copy waits for all of it.
    HEFT_CUDA(cudaEventRecord(calls_[call_ % 2].event, cuda::stream()));
    if (targets_.size() == kMostTargets) targets_.erase(targets_.begin());
    return targets_.emplace_back(Target{Tensor::empty(x.shape(), x.dtype(), Device::cuda())});
  }

  std::mutex mutex_;
  cudaStream_t stream_ = nullptr;
  Event calls_[2];
  std::size_t call_ = 0, next_ = 0;
  std::vector<std::unique_ptr<Pinned>> pinned_;
  std::vector<Target> targets_;
};

}  // namespace

Tensor CudaBackend::upload(const Tensor& x) {
  check<DeviceError>(x.device().is_cpu() && x.is_contiguous() && !cuda::capturing(), "upload",
                     "expected a contiguous tensor on the cpu, outside a capture; got one on {}", x.device());
  if (x.numel() == 0) return x.to(Device::cuda());
  static auto* uploads = new Uploads;  // never destroyed, as the stream
  return uploads->upload(x);
}

}  // namespace heft
