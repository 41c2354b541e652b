// Python programs of tests/python/, by Debian's interpreter with Debian's packages.
#pragma once

#include <cstdlib>
#include <string>

#include "tests/train/files.h"

namespace heft::test {

constexpr const char* kPython = "OMP_NUM_THREADS=1 /usr/bin/python3 ";

// "onnx, cv2": whether they can be imported.
inline bool python_has(const std::string& modules) {
  return std::system((kPython + ("-c 'import " + modules + "' >/dev/null 2>&1")).c_str()) == 0;
}

// What the program wrote, where it fails; "" where it does not.
inline std::string python_failure(const TemporaryDirectory& folder, const std::string& script, const std::string& arguments) {
  const std::string said = folder.file("python_said");
  const std::string command = kPython + ("tests/python/" + script) + " " + arguments + " >'" + said + "' 2>&1 </dev/null";
  return std::system(command.c_str()) == 0 ? "" : "failed: " + read_text(said);
}

}  // namespace heft::test
