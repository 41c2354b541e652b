// Feeds a fuzz target the files that the command line names, and those in the folders that it names.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "tests/fuzz/input.h"

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  std::size_t replayed = 0;
  const auto replay = [&](const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    std::cout << path.string() << '\n';
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++replayed;
  };
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) replay(argv[i]);
    else
      for (const auto& entry : fs::directory_iterator(argv[i])) replay(entry.path());
  }
  std::cout << replayed << " replayed\n";
  return replayed > 0 ? 0 : 1;
}
