// What the fuzz targets share. A target is a file of this folder: a reader of files, fed arbitrary bytes, that may give a value
// or throw heft::Error and nothing else. Built by clang with the preset `fuzz` it is a libFuzzer program; built otherwise it
// replays the files it is given (replay.cpp), which is how the suite runs the corpora.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/error.h"

namespace heft::test {

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

// Runs `read`; a refusal is fine, any other exception leaves and ends the program.
template <class Read>
int refuse_or_read(Read&& read) {
  try {
    read();
  } catch (const Error&) {
  }
  return 0;
}

}  // namespace heft::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count);
