// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011). A number is a pure function of (seed, stream, position), so it does not depend on the device, the thread
// count or the order in which numbers are asked for: integers and uniforms bit for bit, normals within 2 ulp.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/functors.h"
#include "core/tensor.h"

namespace heft {

// Four 32-bit words from a 128-bit counter and a 64-bit key.
HEFT_HD inline std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

// Names a sequence of random numbers. Sequences of different streams are independent; `offset` counts blocks of four
// numbers from the start of the stream.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
  std::uint64_t offset = 0;
};

// Block number `block` of the key's sequence.
HEFT_HD inline std::array<std::uint32_t, 4> random_bits(const RandomKey& key, std::uint64_t block) {
  const std::uint64_t position = key.offset + block;
  return philox4x32({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32),
                     static_cast<std::uint32_t>(key.stream), static_cast<std::uint32_t>(key.stream >> 32)},
                    {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)});
}

// [0, 1), 24 bits: exactly representable in a float, so every device rounds alike.
HEFT_HD inline float uniform_from_bits(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// [low, high) in T, or low where they are equal: a value that T would round up to high becomes the one below it.
template <class T>
HEFT_HD T uniform_between(double low, double high, std::uint32_t bits) {
  const T x = static_cast<T>(low + (high - low) * static_cast<double>(uniform_from_bits(bits)));
  return x < static_cast<T>(high) ? x : std::nextafter(static_cast<T>(high), static_cast<T>(low));
}

// A stream number from a name and up to two indices, e.g. stream_of("shuffle", epoch). Equal arguments, equal streams.
std::uint64_t stream_of(std::string_view name, std::uint64_t a = 0, std::uint64_t b = 0);

// Numbers one at a time, for shuffles and samplers on the host.
class RandomSequence {
 public:
  explicit RandomSequence(RandomKey key) : key_(key) {}
  std::uint32_t bits();
  // In [0, 1), 53 bits.
  double uniform();
  double normal();
  // Unbiased, in [0, n). Throws ValueError unless n > 0.
  std::uint64_t below(std::uint64_t n);
  // Fisher-Yates.
  template <class T>
  void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      const auto j = static_cast<std::size_t>(below(i));
      std::swap(items[i - 1], items[j]);
    }
  }

 private:
  RandomKey key_;
  std::uint64_t block_ = 0;
  unsigned used_ = 4;
  std::array<std::uint32_t, 4> words_{};
};

// 0 .. n - 1 in an order that depends on the key alone.
std::vector<std::int64_t> random_permutation(std::int64_t n, RandomKey key);

// The process-wide sequence behind initialisers and dropout. manual_seed restarts it.
void manual_seed(std::uint64_t seed);
struct RandomState {
  std::uint64_t seed = 0;
  std::uint64_t next = 0;
};
RandomState random_state();
void set_random_state(RandomState state);
// A key nobody has used since manual_seed; thread-safe.
RandomKey next_random_key();

// Tensors of random numbers. Element i depends on (key, i) alone; f32 or f64 (an f64 uniform has the f32's 24 bits).
// `key` defaults to next_random_key().
Tensor random_uniform(const Shape& shape, double low = 0, double high = 1, DType dtype = DType::f32,
                      Device device = Device::cpu());
Tensor random_uniform(const Shape& shape, double low, double high, DType dtype, Device device, RandomKey key);
Tensor random_normal(const Shape& shape, double mean = 0, double deviation = 1, DType dtype = DType::f32,
                     Device device = Device::cpu());
Tensor random_normal(const Shape& shape, double mean, double deviation, DType dtype, Device device, RandomKey key);

}  // namespace heft
