#include "tests/ptx/options.h"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "tests/ptx/module.h"

namespace ptx {
namespace {

std::string from_environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

const Warp* running = nullptr;

std::string demangled(const std::string& name) {
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, nullptr),
                                                         &std::free);
  return text ? text.get() : name;
}

}  // namespace

const Options& options() {
  static const auto& one =
      *new Options{static_cast<unsigned>(std::stoul(from_environment("HEFT_PTX_SEED", "1"))),
                   std::stoi(from_environment("HEFT_PTX_MULTIPROCESSORS", "8")),
                   std::stoi(from_environment("HEFT_PTX_CAPABILITY", "90")),
                   from_environment("HEFT_PTX_RACES", "1") != "0",
                   from_environment("HEFT_PTX_ASYNC", "late") != "early",
                   from_environment("HEFT_PTX_KERNELS", "")};  // never destroyed: what is at the end reads it
  return one;
}

std::mt19937& chance() {
  static std::mt19937 one(options().seed);
  return one;
}

void blame(const Warp* warp) { running = warp; }

std::string describe(const Kernel& kernel, u32 at) {
  const Instruction& i = kernel.code[at];
  return fmt::format("{}, {}:{}: {}", demangled(kernel.name), file_name(*kernel.module, i.file), i.line, i.text);
}

void give_up(std::string_view message) {
  std::string text(message);
  if (running) text += fmt::format(" (warp {}: {})", running->number, describe(*running->kernel, running->at));
  std::fflush(stdout);
  fmt::print(stderr, "PTX interpreter: {}\n", text);
  std::fflush(stderr);
  std::abort();
}

}  // namespace ptx
