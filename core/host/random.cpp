#include <numbers>

#include "core/host/host_backend.h"
#include "core/host/strided_loop.h"

namespace heft {

void HostBackend::random(Tensor& x, Distribution distribution, double a, double b, RandomKey key) {
  dispatch_float("random", x.dtype(), [&]<class T>() {
    T* p = x.mutable_data<T>();
    const auto uniform = [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto bits = random_bits(key, static_cast<std::uint64_t>(i) / 4)[static_cast<std::size_t>(i % 4)];
        p[i] = uniform_between<T>(a, b, bits);
      }
    };
    // Box-Muller in double, so that devices agree to the last bits of a float. The first uniform is in (0, 1].
    const auto normal = [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto words = random_bits(key, static_cast<std::uint64_t>(i) / 2);
        const auto first = static_cast<std::size_t>(i % 2 * 2);
        const double u = (static_cast<double>(words[first]) + 1) * 0x1p-32, v = static_cast<double>(words[first + 1]) * 0x1p-32;
        p[i] = static_cast<T>(a + b * std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
      }
    };
    if (distribution == Distribution::uniform) parallel_for(x.numel(), kElementwiseGrain, uniform);
    else parallel_for(x.numel(), kElementwiseGrain, normal);
  });
}

}  // namespace heft
