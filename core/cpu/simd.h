// Loops of our own in the widest vectors that the CPU has: written once over W floats, compiled for each instruction set, and
// chosen when the program runs, so that one binary suits every x86-64 and any other CPU. Internal to core/cpu.
//
//   struct Scale {
//     template <int W>
//     HEFT_SIMD static void run(float* x, float factor, std::int64_t n) {
//       for (std::int64_t i = 0; i < n; i += W) simd::store<W>(x + i, simd::load<W>(x + i) * factor);
//     }
//   };
//   simd::run<Scale>(x, 2.0F, n);
//
// W is 16, 8 or 4. `run` and everything that it calls must be inlined (HEFT_SIMD), or it is compiled for the plainest CPU.
#pragma once

#include <cstdint>
#include <cstring>

#define HEFT_SIMD [[gnu::always_inline]] inline
// Vectors as results have no ABI that all instruction sets share; nothing here is called, everything is inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace heft::simd {

enum class Isa : std::uint8_t { plain, avx2, avx512 };
// What oneDNN uses too: the CPU's best, or what the environment's ONEDNN_MAX_CPU_ISA allows.
Isa isa();
// Floats of a vector of these: the W that run() takes.
int width();

template <int W>
struct Vector {
  typedef float Float __attribute__((vector_size(W * sizeof(float))));
};
// W floats with the arithmetic of one: a * b + c, x > 0 ? x : 0 * x, v[i].
template <int W>
using Vec = typename Vector<W>::Float;

// p need not be aligned.
template <int W>
HEFT_SIMD Vec<W> load(const float* p) {
  Vec<W> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <int W>
HEFT_SIMD void store(float* p, const Vec<W>& v) {
  std::memcpy(p, &v, sizeof v);
}

// max(0, v); a NaN stays, as in the functor Relu.
template <int W>
HEFT_SIMD Vec<W> relu(const Vec<W>& v) {
  return v < Vec<W>{} ? Vec<W>{} : v;
}
// start and the lanes, added in order.
template <int W>
HEFT_SIMD float sum(float start, const Vec<W>& v) {
  for (int lane = 0; lane < W; ++lane) start += v[lane];
  return start;
}

// The first n of v, 0 < n < W.
template <int W>
HEFT_SIMD void store_first(float* p, const Vec<W>& v, std::int64_t n) {
  float all[W];
  std::memcpy(all, &v, sizeof v);
  std::int64_t at = 0;  // pieces of a fixed size: a copy of n bytes would be a call
  if constexpr (W > 8)
    if (n & 8) std::memcpy(p, all, 8 * sizeof(float)), at = 8;
  if constexpr (W > 4)
    if (n & 4) std::memcpy(p + at, all + at, 4 * sizeof(float)), at += 4;
  if (n & 2) std::memcpy(p + at, all + at, 2 * sizeof(float)), at += 2;
  if (n & 1) p[at] = all[at];
}

#if defined(__x86_64__)
template <class Kernel, class... Args>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,fma")]] void run_avx512(Args... args) {
  Kernel::template run<16>(args...);
}
template <class Kernel, class... Args>
[[gnu::target("avx2,fma")]] void run_avx2(Args... args) {
  Kernel::template run<8>(args...);
}
#endif

template <class Kernel, class... Args>
void run(Args... args) {
#if defined(__x86_64__)
  if (isa() == Isa::avx512) return run_avx512<Kernel>(args...);
  if (isa() == Isa::avx2) return run_avx2<Kernel>(args...);
#endif
  Kernel::template run<4>(args...);
}

}  // namespace heft::simd
