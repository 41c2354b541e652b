// The CIFAR binary versions; the first byte says which.
#include <filesystem>

#include "data/cifar.h"
#include "tests/fuzz/input.h"

namespace {

// A folder whose test files are all the one in memory.
std::string folder_of(const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("heft-fuzz-cifar-" + std::to_string(getpid()));
  fs::create_directories(folder);
  for (const char* name : {"test_batch.bin", "test.bin"})
    if (!fs::is_symlink(folder / name)) fs::create_symlink(path, folder / name);
  static const struct Cleaner {
    fs::path folder;
    ~Cleaner() { fs::remove_all(folder); }
  } cleaner{folder};
  return folder;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  static heft::test::MemoryFile file;
  static const std::string folder = folder_of(file.holding(bytes, 0));
  if (count == 0) return 0;
  file.holding(bytes + 1, count - 1);
  return heft::test::refuse_or_read(count - 1, [&](auto&) {
    const auto set = heft::data::cifar({.train = false, .dir = folder, .classes = bytes[0] % 2 ? 100 : 10});
    if (set->size() > 0) set->get(set->size() - 1);
  });
}
