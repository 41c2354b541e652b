#include "core/memory.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace heft {
namespace {

constexpr std::size_t kAlignment = 64;

// Eight sizes per power of two: at most 12.5 % of a block is wasted, and near-equal shapes share blocks.
std::size_t block_size(std::size_t bytes) {
  if (bytes <= 512) return (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  std::size_t step = 64;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

class HostAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    const std::size_t size = block_size(bytes);
    const std::lock_guard lock(mutex_);
    void* block = nullptr;
    if (auto it = free_.find(size); it != free_.end() && !it->second.empty()) {
      block = it->second.back();
      it->second.pop_back();
      stats_.bytes_cached -= size;
    } else {
      block = from_system(size, bytes);
    }
    ++stats_.allocations;
    stats_.bytes_in_use += size;
    stats_.peak_bytes_in_use = std::max(stats_.peak_bytes_in_use, stats_.bytes_in_use);
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    return block;
  }

  void release(void* block, std::size_t bytes) noexcept override {
    const std::size_t size = block_size(bytes);
    const std::lock_guard lock(mutex_);
    ASAN_POISON_MEMORY_REGION(block, size);
    free_[size].push_back(block);
    stats_.bytes_in_use -= size;
    stats_.bytes_cached += size;
  }

  MemoryStats stats() const override {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

  void reset_peak() override {
    const std::lock_guard lock(mutex_);
    stats_.peak_bytes_in_use = stats_.bytes_in_use;
  }

  void empty_cache() override {
    const std::lock_guard lock(mutex_);
    drop_cache();
  }

 private:
  void* from_system(std::size_t size, std::size_t wanted) {
    ++stats_.system_allocations;
    void* block = std::aligned_alloc(kAlignment, size);
    if (!block) {
      drop_cache();
      block = std::aligned_alloc(kAlignment, size);
    }
    check<MemoryError>(block != nullptr, "allocate", "expected {} bytes from the system; it refused, with {} bytes in use",
                       wanted, stats_.bytes_in_use);
    ASAN_POISON_MEMORY_REGION(block, size);
    return block;
  }

  void drop_cache() {
    for (auto& [size, blocks] : free_)
      for (void* block : blocks) {
        ASAN_UNPOISON_MEMORY_REGION(block, size);
        std::free(block);
      }
    free_.clear();
    stats_.bytes_cached = 0;
  }

  mutable std::mutex mutex_;
  std::unordered_map<std::size_t, std::vector<void*>> free_;
  MemoryStats stats_;
};

}  // namespace

Allocator& allocator(Device device) {
  if (device.is_cuda()) return cuda_allocator(device.index());
  static auto* host = new HostAllocator;  // never destroyed: tensors of static lifetime may outlive any other order
  return *host;
}

MemoryStats memory_stats(Device device) { return allocator(device).stats(); }
void reset_peak_memory(Device device) { allocator(device).reset_peak(); }

Storage::Storage(std::size_t bytes, Device device) : data_(allocator(device).allocate(bytes)), bytes_(bytes), device_(device) {}

Storage::~Storage() { allocator(device_).release(data_, bytes_); }

}  // namespace heft
