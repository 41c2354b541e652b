#include "train/file_calls.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace heft::train {

FileCalls& file_calls() {
  static FileCalls calls{.open = [](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); },
                         .write = ::write,
                         .fsync = ::fsync,
                         .close = ::close,
                         .rename = std::rename,
                         .unlink = ::unlink};
  return calls;
}

}  // namespace heft::train
