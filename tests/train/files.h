// What is in files, for tests that write some.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/data/temporary_directory.h"

namespace heft::test {

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::ptrdiff_t files_in(const TemporaryDirectory& folder) {
  return std::distance(std::filesystem::directory_iterator(folder.path()), {});
}

}  // namespace heft::test
