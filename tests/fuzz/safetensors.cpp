// safetensors.
#include "train/safetensors.h"

#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  static heft::test::MemoryFile file;
  return heft::test::refuse_or_read(count, [&](auto&) { heft::train::read_safetensors(file.holding(bytes, count)); });
}
