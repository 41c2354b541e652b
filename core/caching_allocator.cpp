#include "core/caching_allocator.h"

#include <algorithm>
#include <cstdint>

#include "core/check.h"

namespace heft {
namespace {

constexpr std::size_t kAlignment = 64;

// Eight sizes per power of two: at most 12.5 % of a block is wasted, and near-equal shapes share blocks.
std::size_t block_size(std::size_t bytes) {
  if (bytes <= 512) return (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes > SIZE_MAX / 2) return SIZE_MAX / 2;  // more than any machine has; the step would overflow
  std::size_t step = 64;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

}  // namespace

void* CachingAllocator::allocate(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  const std::lock_guard lock(mutex_);
  void* block = nullptr;
  Free& free = free_for_allocation();
  if (auto it = free.find(size); it != free.end() && !it->second.empty()) {
    block = it->second.back();
    it->second.pop_back();
    stats_.bytes_cached -= size;
  } else {
    if (keeps(size)) ++stats_.system_allocations;
    block = obtain(size);
    if (!block) {
      drop(free_);
      block = obtain(size);
    }
    check<MemoryError>(block != nullptr, MemoryUser::name(),
                       "expected {} bytes from {}; it refused, with {} bytes in use (the most so far: {})", bytes, system(),
                       stats_.bytes_in_use, stats_.peak_bytes_in_use);
    obtained(block);
  }
  ++stats_.allocations;
  stats_.bytes_in_use += size;
  stats_.peak_bytes_in_use = std::max(stats_.peak_bytes_in_use, stats_.bytes_in_use);
  handed_out(block, bytes);
  return block;
}

void CachingAllocator::release(void* block, std::size_t bytes) noexcept {
  const std::size_t size = block_size(bytes);
  const std::lock_guard lock(mutex_);
  taken_back(block, size);
  stats_.bytes_in_use -= size;
  if (!keeps(size)) return give_back(block, size);
  free_for_release(block)[size].push_back(block);
  stats_.bytes_cached += size;
}

MemoryStats CachingAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak_bytes_in_use = stats_.bytes_in_use;
}

void CachingAllocator::empty_cache() {
  const std::lock_guard lock(mutex_);
  drop(free_);
}

void CachingAllocator::drop(Free& free) noexcept {
  for (auto& [size, blocks] : free)
    for (void* block : blocks) {
      stats_.bytes_cached -= size;
      give_back(block, size);
    }
  free.clear();
}

}  // namespace heft
