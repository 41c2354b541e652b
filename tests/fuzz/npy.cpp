// NumPy's .npy.
#include "data/npy.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  static heft::test::MemoryFile file;
  return heft::test::refuse_or_read(
      count, [&](auto& payload) { payload = heft::test::bytes_of(heft::data::read_npy(file.holding(bytes, count))); });
}
