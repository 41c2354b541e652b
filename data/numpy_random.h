// NumPy's legacy random numbers, bit for bit, for subsets that others published with them. Everything of our own draws from
// core/random.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>

namespace heft::data {

// numpy.random.RandomState(seed), or numpy.random after numpy.random.seed(seed): MT19937 (Matsumoto, Nishimura, ACM TOMACS
// 8, 1998) with the authors' 2002 seeding, which is std::mt19937's. NumPy keeps this stream as it is for good (NEP 19).
class NumpyRandomState {
 public:
  // Throws ValueError unless seed < 2^32, as NumPy does.
  explicit NumpyRandomState(std::uint64_t seed);
  // The next 32 bits.
  std::uint32_t bits() { return static_cast<std::uint32_t>(engine_()); }
  // In [0, max]: the low bits of the next number that is not above max, as many bits as max has; 0 uses none up.
  std::uint32_t interval(std::uint32_t max);
  // numpy.random.shuffle of an array with one axis. Throws ValueError for 2^32 items or more.
  template <class T>
  void shuffle(std::span<T> items) {
    check_size(items.size());
    for (std::size_t i = items.size(); i-- > 1;) std::swap(items[i], items[interval(static_cast<std::uint32_t>(i))]);
  }

 private:
  static void check_size(std::size_t n);
  std::mt19937 engine_;
};

}  // namespace heft::data
