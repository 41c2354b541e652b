// The TOML of heft study, with the recipes in it.
#include "cli/study_file.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  static heft::test::MemoryFile file;
  return heft::test::refuse_or_read(count, [&](auto&) { heft::cli::read_study(file.holding(bytes, count)); });
}
