#include "core/parallel.h"

#include <atomic>

#include "core/error.h"
#include "tests/catch_compat.h"

using namespace heft;

TEST_CASE("parallel_for: what a body throws arrives at the caller", "[core]") {
  const int before = num_threads();
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    std::atomic<int> finished{0};
    CHECK_THROWS_AS(parallel_for(6, 1,
                                 [&](std::int64_t begin, std::int64_t) {
                                   if (begin == 0) throw MemoryError("kernel", "no room to work in");
                                   ++finished;
                                 }),
                    MemoryError);
    CHECK_THROWS_AS(parallel_for(6, 1, [](std::int64_t, std::int64_t) { throw MemoryError("kernel", "in every thread"); }),
                    MemoryError);
    parallel_for(6, 1, [&](std::int64_t, std::int64_t) { ++finished; });  // and the threads are still there
    CHECK(finished >= 1);
  }
  set_num_threads(before);
}
