// What the allocators of all devices share: freed blocks are kept by size and given out again, and counted. Internal.
#pragma once

#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/memory.h"

namespace heft {

class CachingAllocator : public Allocator {
 public:
  void* allocate(std::size_t bytes) override;
  void release(void* block, std::size_t bytes) noexcept override;
  MemoryStats stats() const override;
  void reset_peak() override;
  void empty_cache() override;

 protected:
  // From the system, or nullptr where it has no more.
  virtual void* obtain(std::size_t bytes) = 0;
  virtual void give_back(void* block, std::size_t bytes) noexcept = 0;
  // Whether free blocks of this size are kept by size; others go straight back.
  virtual bool keeps(std::size_t) const { return true; }
  // Of a message: what could not be allocated, and of what.
  virtual const char* system() const = 0;
  // A block goes to a tensor, of which `bytes` are its own, or comes back.
  virtual void handed_out(void*, std::size_t) noexcept {}
  virtual void taken_back(void*, std::size_t) noexcept {}

  // Blocks that are free, by size.
  using Free = std::unordered_map<std::size_t, std::vector<void*>>;
  // Where a block of this size comes from and goes to; the lock is held.
  virtual Free& free_for_allocation() { return free_; }
  virtual Free& free_for_release(void*) { return free_; }
  virtual void obtained(void*) {}
  void drop(Free& free) noexcept;

  mutable std::mutex mutex_;
  Free free_;
  MemoryStats stats_;
};

}  // namespace heft
