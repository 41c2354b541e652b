#include "data/threads.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace heft::data {

void in_threads(std::size_t n, int threads, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  const auto take = [&] {
    for (std::size_t i = next++; i < n; i = next++) work(i);
  };
  std::vector<std::thread> others;
  try {
    for (std::size_t t = 1; t < std::min(n, static_cast<std::size_t>(threads)); ++t) others.emplace_back(take);
  } catch (const std::system_error&) {  // the machine has no more: those that there are do
  }
  take();
  for (std::thread& thread : others) thread.join();
}

}  // namespace heft::data
