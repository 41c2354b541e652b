#include "cli/threads_flag.h"

#include <fmt/format.h>

#include <ostream>
#include <thread>

#include "cli/output.h"
#include "core/parallel.h"

namespace heft::cli {

void warn_of_threads(int threads) {
  static bool warned = false;
  const auto cpus = static_cast<int>(std::thread::hardware_concurrency());  // 0: not known
  if (warned || cpus == 0 || threads <= cpus) return;
  warned = true;
  notes() << fmt::format("heft: {} threads on {} CPU{} wait for each other; --threads {} is likely to be faster\n", threads,
                         cpus, cpus == 1 ? "" : "s", cpus);
}

CLI::Option* add_threads_flag(CLI::App& command, const char* help) {
  return command
      .add_option_function<int>(
          "--threads",
          [](int threads) {
            set_num_threads(threads);
            warn_of_threads(threads);
          },
          help)
      ->check(CLI::Range(1, kMostThreads));
}

}  // namespace heft::cli
