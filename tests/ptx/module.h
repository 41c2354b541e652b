// PTX as nvcc writes it: a module's text taken apart into functions and variables, and a kernel decoded when it is launched.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/machine.h"

namespace ptx {

// ".align 8 .b8 name[32]", ".u64 name": of a parameter or a variable.
struct Declaration {
  explicit Declaration(std::string_view text);
  std::string name, type;
  u32 align = 1, bytes = 0;
};

struct Function {
  std::vector<std::string> parameters, results;  // declarations
  std::string_view body;
  int most_threads = 0;
};

struct Module {
  explicit Module(std::string ptx);
  Module(const Module&) = delete;

  std::string text;
  std::vector<std::string> files;  // by their numbers
  std::map<std::string, Function, std::less<>> functions;
  std::map<std::string, u64, std::less<>> globals;         // where they lie
  std::map<std::string, Declaration, std::less<>> shared;  // each in the blocks of those kernels that use it
  std::set<std::string, std::less<>> dynamic_shared;       // extern: whatever a launch asked for
};

// The PTX of a fat binary, which nvcc must not have compressed (--no-compress); empty where it has none.
std::string ptx_of(const void* fat_binary);
std::string_view file_name(const Module& module, int number);
// Calls are put in line. Fails at what it does not know.
std::unique_ptr<Kernel> decode(const Module& module, const std::string& name);

// Text: what is between commas that are in no bracket; what is between spaces.
std::vector<std::string> split_list(std::string_view text);
std::vector<std::string_view> split_words(std::string_view text);
std::string_view trim(std::string_view text);
bool in_identifier(char c);
int size_of(std::string_view type);  // "b32": 4

}  // namespace ptx
