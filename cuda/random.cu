// The numbers of core/random.h: the same as the CPU's for the same key.
#include <numbers>

#include "core/random.h"
#include "cuda/cuda_backend.h"
#include "cuda/graph.h"
#include "cuda/launch.cuh"

namespace heft {

namespace {

template <class T>
void uniform(Tensor& x, double low, double high, RandomKey key) {
  T* p = cuda::values<T>(x);
  const RandomKey* place = cuda::Graph::place_for(key);
  cuda::for_each("random", x.numel(), [=] __device__(std::int64_t i) {
    const auto bits = random_bits(place ? *place : key, static_cast<std::uint64_t>(i) / 4);
    p[i] = uniform_between<T>(low, high, bits[static_cast<std::size_t>(i % 4)]);
  });
}

template <class T>
void normal(Tensor& x, double mean, double deviation, RandomKey key) {
  T* p = cuda::values<T>(x);
  const RandomKey* place = cuda::Graph::place_for(key);
  cuda::for_each("random", x.numel(), [=] __device__(std::int64_t i) {
    const auto words = random_bits(place ? *place : key, static_cast<std::uint64_t>(i) / 2);
    const auto first = static_cast<std::size_t>(i % 2 * 2);
    const double u = (static_cast<double>(words[first]) + 1) * 0x1p-32, v = static_cast<double>(words[first + 1]) * 0x1p-32;
    p[i] = static_cast<T>(mean + deviation * std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
  });
}

}  // namespace

void CudaBackend::random(Tensor& x, Distribution distribution, double a, double b, RandomKey key) {
  dispatch_float("random", x.dtype(), [&]<class T>() {
    if (distribution == Distribution::uniform) uniform<T>(x, a, b, key);
    else normal<T>(x, a, b, key);
  });
}

}  // namespace heft
