#include "cuda/allocator.h"

#include "core/caching_allocator.h"
#include "core/check.h"
#include "cuda/cuda.h"
#include "cuda/status.h"
#include "cuda/stream.h"

namespace heft {
namespace cuda {

struct GraphPool::Blocks {
  std::unordered_map<std::size_t, std::vector<void*>> free;
};

class CudaAllocator final : public CachingAllocator {
 public:
  void open(GraphPool::Blocks& pool) {
    const std::lock_guard lock(mutex_);
    check(current_ == nullptr, "cuda", "expected one graph to be captured at a time; got a second");
    current_ = &pool;
  }
  void close(const GraphPool::Blocks& pool) {
    const std::lock_guard lock(mutex_);
    if (current_ == &pool) current_ = nullptr;
  }
  // What is free is anyone's again; what a tensor still holds, once it is let go.
  void disband(GraphPool::Blocks& pool) {
    const std::lock_guard lock(mutex_);
    for (auto& [size, blocks] : pool.free) free_[size].insert(free_[size].end(), blocks.begin(), blocks.end());
    std::erase_if(owners_, [&](const auto& entry) { return entry.second == &pool; });
  }

 protected:
  void* obtain(std::size_t bytes) override {
    stream();  // throws where there is no GPU
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // it is dealt with
      return nullptr;
    }
    check_status(status, "cudaMalloc");
    return block;
  }
  void give_back(void* block, std::size_t) noexcept override { cudaFree(block); }
  const char* system() const override { return "the GPU"; }
  Free& free_for_allocation() override { return current_ ? current_->free : free_; }
  Free& free_for_release(void* block) override {
    const auto owner = owners_.find(block);
    return owner == owners_.end() ? free_ : owner->second->free;
  }
  void obtained(void* block) override {
    if (current_) owners_[block] = current_;
  }

 private:
  GraphPool::Blocks* current_ = nullptr;
  std::unordered_map<void*, GraphPool::Blocks*> owners_;  // blocks of pools
};

namespace {
CudaAllocator& the_allocator() {
  static auto* one = new CudaAllocator;  // never destroyed: tensors of static lifetime may outlive any other order
  return *one;
}
}  // namespace

GraphPool::GraphPool() : blocks_(std::make_unique<Blocks>()) { the_allocator().open(*blocks_); }
void GraphPool::close() { the_allocator().close(*blocks_); }
GraphPool::~GraphPool() {
  close();
  the_allocator().disband(*blocks_);
}

}  // namespace cuda

Allocator& cuda_allocator(int index) {
  if (const std::string reason = cuda::why_unavailable(); !reason.empty()) fail<DeviceError>("cuda", "{}", reason);
  check<DeviceError>(index == 0, "cuda",
                     "expected cuda:0, the GPU that heft computes on (CUDA_VISIBLE_DEVICES chooses it); got cuda:{}", index);
  return cuda::the_allocator();
}

}  // namespace heft
