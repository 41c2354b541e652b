// Internal. The system calls that write_atomically is made of (train/atomic_file.h), by pointer, so that tests can make each of
// them fail or end the process there. Each is the call of its name in POSIX: -1 and errno where it fails.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace heft::train {

struct FileCalls {
  int (*open)(const char* path, int flags, mode_t mode);
  ssize_t (*write)(int file, const void* bytes, std::size_t count);
  int (*fsync)(int file);
  int (*close)(int file);
  int (*rename)(const char* from, const char* to);
  int (*unlink)(const char* path);
};

// Those in use: the system's, until a test puts its own in their place. No thread may be writing meanwhile.
FileCalls& file_calls();

}  // namespace heft::train
