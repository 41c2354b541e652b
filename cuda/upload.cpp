// Input from the CPU: through pinned memory and on a stream of its own, so that the next batch crosses while this one is
// computed.
#include <cstring>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "cuda/cuda_backend.h"
#include "cuda/pinned.h"
#include "cuda/status.h"
#include "cuda/stream.h"

namespace heft {
namespace {

using cuda::bytes_of;
using cuda::Event;
using cuda::Pinned;

// A copy may only overwrite a tensor that no queued work reads. A target that was free already when the call before this one
// began was last read by work queued before that; so a copy waits for the work up to then and runs beside what has come since.
struct Target {
  Tensor tensor;
  std::size_t last_call;  // that used it
  bool was_free = false;
};

class Uploads {
 public:
  std::vector<Tensor> upload(const std::vector<Tensor>& tensors) {
    const std::lock_guard lock(mutex_);
    std::size_t total = 0;
    for (const Tensor& x : tensors) total += bytes_of(x);
    Pinned& pinned = pinned_for(total);
    auto* to = static_cast<unsigned char*>(pinned.memory);
    std::vector<Tensor> targets;
    for (const Tensor& x : tensors) {
      std::memcpy(to, x.raw(), bytes_of(x));
      to += bytes_of(x);
      targets.push_back(target_for(x));
    }
    HEFT_CUDA(cudaStreamWaitEvent(stream_, calls_[call_ % 2].event, 0));
    const auto* from = static_cast<const unsigned char*>(pinned.memory);
    for (Tensor& target : targets) {
      HEFT_CUDA(cudaMemcpyAsync(target.mutable_raw(), from, bytes_of(target), cudaMemcpyHostToDevice, stream_));
      from += bytes_of(target);
    }
    HEFT_CUDA(cudaEventRecord(pinned.copied.event, stream_));
    HEFT_CUDA(cudaStreamWaitEvent(cuda::stream(), pinned.copied.event, 0));
    // The work queued by now; what the next call waits for.
    HEFT_CUDA(cudaEventRecord(calls_[++call_ % 2].event, cuda::stream()));
    // Not these, which somebody else holds now.
    for (Target& target : targets_) target.was_free = target.tensor.storage_users() == 1;
    return targets;
  }

  Uploads() {
    HEFT_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    HEFT_CUDA(cudaEventRecord(calls_[0].event, cuda::stream()));
  }

 private:
  static constexpr std::size_t kCallsKept = 16;  // of a target that nobody holds: batches of another size have come

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

  Tensor target_for(const Tensor& x) {
    for (auto& [tensor, last_call, was_free] : targets_)
      if (was_free && tensor.storage_users() == 1 && tensor.shape() == x.shape() && tensor.dtype() == x.dtype()) {
        last_call = call_;
        return tensor;
      }
    // Memory that the allocator gives out may still be read by queued work, so this copy waits for all of it.
    HEFT_CUDA(cudaEventRecord(calls_[call_ % 2].event, cuda::stream()));
    std::erase_if(targets_, [this](const Target& target) { return target.was_free && call_ > target.last_call + kCallsKept; });
    return targets_.emplace_back(Target{Tensor::empty(x.shape(), x.dtype(), Device::cuda()), call_}).tensor;
  }

  std::mutex mutex_;
  cudaStream_t stream_ = nullptr;
  Event calls_[2];
  std::size_t call_ = 0, next_ = 0;
  std::vector<std::unique_ptr<Pinned>> pinned_;
  std::vector<Target> targets_;
};

}  // namespace

std::vector<Tensor> CudaBackend::upload(const std::vector<Tensor>& tensors) {
  for (const Tensor& x : tensors)
    check<DeviceError>(x.device().is_cpu() && x.is_contiguous() && x.numel() > 0 && !cuda::capturing(), "upload",
                       "expected contiguous tensors of some elements on the cpu, outside a capture; got one of {} on {}",
                       x.numel(), x.device());
  static auto* uploads = new Uploads;  // never destroyed, as the stream
  return uploads->upload(tensors);
}

}  // namespace heft
