// What the environment asks of the interpreter, and how it gives up.
#pragma once

#include <fmt/format.h>

#include <random>
#include <string>
#include <string_view>

#include "tests/ptx/machine.h"

namespace ptx {

struct Options {
  unsigned seed;        // HEFT_PTX_SEED [1]: of the order in which warps, blocks, copies and streams get their turns
  int multiprocessors;  // HEFT_PTX_MULTIPROCESSORS [8]: what the device says it has
  int capability;       // HEFT_PTX_CAPABILITY [90]: 80 keeps away from what Hopper alone has
  bool races;           // HEFT_PTX_RACES [1]: 0 does not watch for races, and is faster
  bool late;            // HEFT_PTX_ASYNC [late]: asynchronous copies and products happen when they are waited for, or early
  std::string kernels;  // HEFT_PTX_KERNELS: a file that gets the name of every kernel, after 1 where it was launched and 0
};
const Options& options();

// One sequence for everything that is left to chance.
std::mt19937& chance();

// The warp that runs, or null: what a failure is blamed on.
void blame(const Warp* warp);
// Says what went wrong and where (kernel, source line, instruction), and ends the program.
[[noreturn]] void give_up(std::string_view message);
template <class... T>
[[noreturn]] void fail(fmt::format_string<T...> format, T&&... values) {
  give_up(fmt::format(format, std::forward<T>(values)...));
}
// kernel, file and line, instruction.
std::string describe(const Kernel& kernel, u32 at);

}  // namespace ptx
