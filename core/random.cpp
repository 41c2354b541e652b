#include "core/random.h"

#include <mutex>
#include <numbers>
#include <numeric>

#include "core/backend.h"
#include "core/check.h"

namespace heft {
namespace {

std::mutex global_mutex;
RandomState global_state;

void check_float(const char* op, DType dtype) {
  if (!is_floating(dtype)) throw_dtype(op, "f32 or f64", dtype);
}

Tensor filled(const Shape& shape, Distribution distribution, double a, double b, DType dtype, Device device, RandomKey key) {
  Tensor x = Tensor::empty(shape, dtype, device);
  backend_for(x).random(x, distribution, a, b, key);
  return x;
}

}  // namespace

std::uint64_t stream_of(std::string_view name, std::uint64_t a, std::uint64_t b) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a over the name, then the indices
  const auto mix = [&hash](std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3u; };
  for (const char c : name) mix(static_cast<std::uint8_t>(c));
  mix(0);
  for (const std::uint64_t n : {a, b})
    for (int shift = 0; shift < 64; shift += 8) mix(static_cast<std::uint8_t>(n >> shift));
  return hash;
}

std::uint32_t RandomSequence::bits() {
  if (used_ == 4) {
    words_ = random_bits(key_, block_++);
    used_ = 0;
  }
  return words_[used_++];
}

double RandomSequence::uniform() {
  const std::uint64_t high = bits() >> 5, low = bits() >> 6;
  return static_cast<double>(high << 26 | low) * 0x1p-53;
}

double RandomSequence::normal() {  // Box-Muller; 1 - u is in (0, 1]
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::uint64_t RandomSequence::below(std::uint64_t n) {
  check(n > 0, "random", "expected an upper bound above 0; got {}", n);
  const std::uint64_t reject = -n % n;  // 2^64 mod n: values below it would favour small results
  for (;;) {
    const std::uint64_t high = bits();
    const std::uint64_t x = high << 32 | bits();
    if (x >= reject) return x % n;
  }
}

std::vector<std::int64_t> random_permutation(std::int64_t n, RandomKey key) {
  check(n >= 0, "random_permutation", "expected a count of at least 0; got {}", n);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  RandomSequence(key).shuffle(std::span<std::int64_t>(order));
  return order;
}

void manual_seed(std::uint64_t seed) { set_random_state({.seed = seed, .next = 0}); }

RandomState random_state() {
  const std::lock_guard lock(global_mutex);
  return global_state;
}

void set_random_state(RandomState state) {
  const std::lock_guard lock(global_mutex);
  global_state = state;
}

RandomKey next_random_key() {
  const std::lock_guard lock(global_mutex);
  return {.seed = global_state.seed, .stream = stream_of("global", global_state.next++)};
}

Tensor random_uniform(const Shape& shape, double low, double high, DType dtype, Device device, RandomKey key) {
  check_float("random_uniform", dtype);
  check(low <= high, "random_uniform", "expected low <= high; got [{}, {})", low, high);
  return filled(shape, Distribution::uniform, low, high, dtype, device, key);
}
Tensor random_uniform(const Shape& shape, double low, double high, DType dtype, Device device) {
  return random_uniform(shape, low, high, dtype, device, next_random_key());
}
Tensor random_normal(const Shape& shape, double mean, double deviation, DType dtype, Device device, RandomKey key) {
  check_float("random_normal", dtype);
  check(deviation >= 0, "random_normal", "expected a deviation of at least 0; got {}", deviation);
  return filled(shape, Distribution::normal, mean, deviation, dtype, device, key);
}
Tensor random_normal(const Shape& shape, double mean, double deviation, DType dtype, Device device) {
  return random_normal(shape, mean, deviation, dtype, device, next_random_key());
}

}  // namespace heft
