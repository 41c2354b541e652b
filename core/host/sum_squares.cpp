#include <algorithm>
#include <array>
#include <vector>

#include "core/host/host_backend.h"
#include "core/parallel.h"

namespace heft {
namespace {

constexpr std::int64_t kBlock = 8192;  // summed by one thread; the same blocks whatever the number of threads

template <class T>
double sum_block(const T* x, std::int64_t n) {
  constexpr std::size_t kLanes = 8;  // sums side by side, since an addition waits for the one before
  std::array<double, kLanes> lanes{};
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= n; i += static_cast<std::int64_t>(kLanes))
    for (std::size_t k = 0; k < kLanes; ++k) {
      const double v = x[i + static_cast<std::int64_t>(k)];
      lanes[k] += v * v;
    }
  for (; i < n; ++i) lanes[0] += static_cast<double>(x[i]) * x[i];
  double total = 0;
  for (const double lane : lanes) total += lane;
  return total;
}

}  // namespace

// Padding of an opaque layout holds zeros, which add nothing.
Tensor HostBackend::sum_squares(const Tensor& x) {
  const std::int64_t n = x.buffer_elements(), blocks = (n + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<std::size_t>(blocks));
  dispatch_float("sum_squares", x.dtype(), [&]<class T>() {
    const T* values = static_cast<const T*>(x.raw());
    parallel_for(blocks, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b)
        sums[static_cast<std::size_t>(b)] = sum_block(values + b * kBlock, std::min(kBlock, n - b * kBlock));
    });
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return Tensor::scalar(total, DType::f64);
}

}  // namespace heft
