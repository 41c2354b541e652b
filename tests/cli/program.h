// The program as a user starts it. Files that include this get HEFT_CLI_PATH from CMake.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "tests/train/files.h"

namespace heft::test {

struct Result {
  int exit_code;
  std::string out, err;
};

inline Result heft_command(const TemporaryDirectory& folder, const std::string& arguments, const std::string& before = "") {
  const std::string out = folder.file("stdout"), err = folder.file("stderr");
  const std::string command = before + "'" + HEFT_CLI_PATH + "' " + arguments + " >'" + out + "' 2>'" + err + "' </dev/null";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
}

}  // namespace heft::test
