#include "core/memory.h"

#include <cstdint>
#include <cstdlib>

#include "core/arena.h"
#include "core/caching_allocator.h"
#include "core/sanitizer.h"

#if HEFT_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace heft {
namespace {

constexpr std::size_t kAlignment = 64;

// Large blocks come from an arena, but for AddressSanitizer, which sees more where each is on its own.
constexpr std::size_t kLarge = HEFT_ASAN ? SIZE_MAX : 1 << 20;

class HostAllocator final : public CachingAllocator {
 public:
  MemoryStats stats() const override {
    MemoryStats stats = CachingAllocator::stats();
    const std::lock_guard lock(mutex_);
    stats.bytes_cached += arena_.free_bytes();
    return stats;
  }
  void empty_cache() override {
    CachingAllocator::empty_cache();
    const std::lock_guard lock(mutex_);
    arena_.trim();
  }

 protected:
  bool keeps(std::size_t bytes) const override { return bytes < kLarge; }
  void* obtain(std::size_t bytes) override {
    bool grew = false;
    void* block = keeps(bytes) ? nullptr : arena_.allocate(bytes, grew);
    if (!keeps(bytes) && (grew || !block))
      ++stats_.system_allocations;  // of those that are kept, whoever asks for one counts it
    if (!block) block = std::aligned_alloc(kAlignment, bytes);
    if (block) ASAN_POISON_MEMORY_REGION(block, bytes);
    return block;
  }
  void give_back(void* block, std::size_t bytes) noexcept override {
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    if (arena_.owns(block)) arena_.release(block, bytes);
    else std::free(block);
  }
  const char* system() const override { return "the system"; }
  void handed_out(void* block, std::size_t bytes) noexcept override { ASAN_UNPOISON_MEMORY_REGION(block, bytes); }
  void taken_back(void* block, std::size_t bytes) noexcept override { ASAN_POISON_MEMORY_REGION(block, bytes); }

 private:
  Arena arena_;
};

}  // namespace

Allocator& allocator(Device device) {
  if (device.is_cuda()) return cuda_allocator(device.index());
  static auto* host = new HostAllocator;  // never destroyed: tensors of static lifetime may outlive any other order
  return *host;
}

thread_local const char* MemoryUser::name_ = "allocate";
MemoryUser::MemoryUser(const char* op) : before_(name_) { name_ = op; }
MemoryUser::~MemoryUser() { name_ = before_; }
const char* MemoryUser::name() { return name_; }

MemoryStats memory_stats(Device device) { return allocator(device).stats(); }
void reset_peak_memory(Device device) { allocator(device).reset_peak(); }

Storage::Storage(std::size_t bytes, Device device) : data_(allocator(device).allocate(bytes)), bytes_(bytes), device_(device) {}

Storage::~Storage() { allocator(device_).release(data_, bytes_); }

}  // namespace heft
