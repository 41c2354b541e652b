// IDX, plain and gzip.
#include "data/idx.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  static heft::test::MemoryFile file;
  return heft::test::refuse_or_read([&] { heft::data::read_idx(file.holding(bytes, count)); });
}
