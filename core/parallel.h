// Loops over the cores of the machine: OpenMP in g++ builds, serial otherwise.
#pragma once

#include <cstdint>
#include <functional>

namespace heft {

// Threads that CPU operations use: OMP_NUM_THREADS or the number of cores, unless set.
int num_threads();
// Throws ValueError unless n >= 1.
void set_num_threads(int n);

// Calls body(begin, end) on disjoint ranges that cover [0, n), in parallel where n > grain. Nested calls run serially.
// The ranges depend on the thread count: results must not. What a body throws (one of them, where several do) arrives here
// when all are done.
void parallel_for(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace heft
