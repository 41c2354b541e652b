// --threads, the same on every command that computes.
#pragma once

#include <CLI/CLI.hpp>

namespace heft::cli {

// More is a slip of the finger: OpenMP ends the program where the system does not give it as many.
constexpr int kMostThreads = 1024;

// Takes effect as it is parsed.
CLI::Option* add_threads_flag(CLI::App& command, const char* help = "Threads of the CPU [OMP_NUM_THREADS, or one per core]");
// Says, once in a process, that so many threads are more than there are CPUs.
void warn_of_threads(int threads);

}  // namespace heft::cli
