// What the fuzz targets share. A target is a file of this folder: a reader of files, fed arbitrary bytes, that may give a value
// or throw heft::Error and nothing else, and may hold no more memory meanwhile than its file is worth. Built by clang with the
// preset `fuzz` it is a libFuzzer program; built otherwise it replays the files it is given (replay.cpp), which is how the
// suite runs the corpora.
#pragma once

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/error.h"
#include "core/memory.h"
#include "core/sanitizer.h"
#include "core/tensor.h"

#if HEFT_ASAN && __has_include(<sanitizer/allocator_interface.h>)  // clang has it, g++ 12 has not
#include <sanitizer/allocator_interface.h>
#define HEFT_COUNTS_HEAP 1
#else
#define HEFT_COUNTS_HEAP 0
#endif

namespace heft::test {

// Bytes that this thread holds on the heap beside those it held at the start, and the most there were. Counted under
// clang's AddressSanitizer; elsewhere 0.
class HeapUse {
 public:
  HeapUse() {
#if HEFT_COUNTS_HEAP
    static const int hooked = __sanitizer_install_malloc_and_free_hooks(
        [](const volatile void*, std::size_t bytes) { add(static_cast<std::ptrdiff_t>(bytes)); },
        [](const volatile void* block) {
          if (counts_) add(-static_cast<std::ptrdiff_t>(__sanitizer_get_allocated_size(const_cast<const void*>(block))));
        });
    if (hooked == 0) std::abort();
#endif
    allocator().empty_cache();  // tensors too shall ask the heap
    bytes_ = most_ = 0;
    counts_ = true;
  }
  ~HeapUse() {
    counts_ = false;
    allocator().empty_cache();  // libFuzzer looks for leaks where an input leaves more on the heap than there was
  }
  HeapUse(const HeapUse&) = delete;
  HeapUse& operator=(const HeapUse&) = delete;

  static std::size_t most() { return static_cast<std::size_t>(most_); }

 private:
  static void add(std::ptrdiff_t bytes) {
    if (!counts_) return;
    bytes_ += bytes;
    most_ = std::max(most_, bytes_);
  }
  inline static thread_local bool counts_ = false;
  inline static thread_local std::ptrdiff_t bytes_ = 0, most_ = 0;
};

// Bytes as a file that has a path and is on no disk.
class MemoryFile {
 public:
  MemoryFile() : file_(memfd_create("heft-fuzz", 0)) {
    if (file_ < 0) std::abort();
  }
  ~MemoryFile() { close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  // The path of a file of these bytes, until the next call.
  std::string holding(const std::uint8_t* bytes, std::size_t count) {
    if (ftruncate(file_, 0) != 0 || pwrite(file_, bytes, count, 0) != static_cast<ssize_t>(count)) std::abort();
    return "/proc/self/fd/" + std::to_string(file_);
  }

 private:
  int file_;
};

// Seconds of a processor that this thread has had: what a hang is measured in, for a stopped or starved program hangs by no
// fault of its input.
inline double processor_seconds() {
  timespec time{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0) std::abort();
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Runs read(payload) on a file of `file_bytes`; a refusal is fine, any other exception leaves and ends the program. So does
// more than a second, and memory beyond 8 times the file, 16 MiB and `payload`: what read() says the file may ask for beside,
// from its header.
template <class Read>
int refuse_or_read(std::size_t file_bytes, Read&& read) {
  std::uint64_t payload = 0;
  const double start = processor_seconds();
  const HeapUse heap;
  try {
    read(payload);
  } catch (const Error&) {
  }
  const double seconds = processor_seconds() - start;
  if (seconds > 1) {
    std::fprintf(stderr, "expected at most 1 s for a file of %zu bytes; it took %.2f s\n", file_bytes, seconds);
    std::abort();
  }
  const std::uint64_t bound = 8 * std::uint64_t{file_bytes} + payload + (16u << 20);
  if (heap.most() <= bound) return 0;
  std::fprintf(stderr, "expected at most %ju bytes on the heap at a time for a file of %zu; there were %zu\n",
               static_cast<std::uintmax_t>(bound), file_bytes, heap.most());
  std::abort();
}

// Of a tensor that a file holds.
inline std::uint64_t bytes_of(const Tensor& tensor) {
  return static_cast<std::uint64_t>(tensor.numel()) * size_of(tensor.dtype());
}

}  // namespace heft::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count);
