// Bytes that the process holds on the C++ heap, beside those of tensors (core/memory.h): vectors that grow show here.
#pragma once

#include <cstddef>

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

namespace heft::test {

// 0 where the C library does not tell, and under a sanitizer, whose allocator is another.
inline std::size_t heap_bytes() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

}  // namespace heft::test
