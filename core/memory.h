// Where tensor storage comes from. Freed blocks are kept and given out again, so that a training step in steady state
// asks the system for nothing; the counters show it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/device.h"

namespace heft {

struct MemoryStats {
  std::size_t bytes_in_use = 0;          // held by live tensors (rounded up to the block size)
  std::size_t peak_bytes_in_use = 0;     // the most there has been since start or reset_peak
  std::size_t bytes_cached = 0;          // free, kept for the next tensor
  std::uint64_t allocations = 0;         // blocks given out
  std::uint64_t system_allocations = 0;  // of these, how many the system had to provide
};

// Thread-safe. Blocks are aligned to 64 bytes.
class Allocator {
 public:
  virtual ~Allocator() = default;
  // Throws MemoryError with the operation (MemoryUser), the size asked for, the bytes in use and the most there have been.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* block, std::size_t bytes) noexcept = 0;
  virtual MemoryStats stats() const = 0;
  virtual void reset_peak() = 0;
  // Returns cached blocks to the system.
  virtual void empty_cache() = 0;
};

// The allocator of a device. Throws DeviceError where the device is not there.
Allocator& allocator(Device device = Device::cpu());
// Defined in cuda/. Throws DeviceError in a build without CUDA or on a machine without that GPU.
Allocator& cuda_allocator(int index);

// What asks for memory on this thread while one lives: the name of the innermost, or "allocate". `op` outlives it.
class MemoryUser {
 public:
  explicit MemoryUser(const char* op);
  ~MemoryUser();
  MemoryUser(const MemoryUser&) = delete;
  MemoryUser& operator=(const MemoryUser&) = delete;
  static const char* name();

 private:
  static thread_local const char* name_;
  const char* before_;
};

// Shorthands for allocator(device).
MemoryStats memory_stats(Device device = Device::cpu());
void reset_peak_memory(Device device = Device::cpu());

// One block of device memory shared by the tensors that view it. `version` counts writes, so that autograd can tell
// that a value it saved was changed in place.
class Storage {
 public:
  Storage(std::size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  Device device_;
  std::atomic<std::uint64_t> version_{0};
};

}  // namespace heft
