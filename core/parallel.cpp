#include "core/parallel.h"

#include <algorithm>
#include <exception>

#include "core/check.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace heft {

#ifdef _OPENMP

int num_threads() { return omp_get_max_threads(); }

void set_num_threads(int n) {
  check(n >= 1, "set_num_threads", "expected at least 1 thread; got {}", n);
  omp_set_num_threads(n);
}

void parallel_for(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (n <= 0) return;
  const std::int64_t chunks = std::min<std::int64_t>(omp_get_max_threads(), n / std::max<std::int64_t>(grain, 1));
  if (chunks <= 1 || omp_in_parallel()) return body(0, n);
  std::exception_ptr thrown;  // one that left the parallel region would end the program
#pragma omp parallel for num_threads(static_cast <int>(chunks)) schedule(static, 1)
  for (std::int64_t c = 0; c < chunks; ++c) {
    try {
      body(n * c / chunks, n * (c + 1) / chunks);
    } catch (...) {
#pragma omp critical(heft_parallel_for)
      thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

#else

int num_threads() { return 1; }
void set_num_threads(int n) { check(n >= 1, "set_num_threads", "expected at least 1 thread; got {}", n); }
void parallel_for(std::int64_t n, std::int64_t, const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (n > 0) body(0, n);
}

#endif

}  // namespace heft
