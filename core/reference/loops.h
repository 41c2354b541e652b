// The two inner loops that convolution and matrix product come down to, over contiguous doubles.
#pragma once

#include <algorithm>
#include <cstdint>

namespace heft::reference {

// Items a thread should get at least, where one item costs `work` multiplications.
inline std::int64_t grain(std::int64_t work) { return 1 + 16384 / (work + 1); }

// y[j] += sum over k < count of a[k] * b[offset(k) + j], for j < n. y does not overlap b.
// Four rows of b at a time, so that y is loaded and stored less; in pieces of y that stay in the first cache.
template <class Offset>
void add_scaled_rows(double* __restrict y, std::int64_t n, const double* a, const double* b, std::int64_t count,
                     Offset offset) {
  constexpr std::int64_t kPiece = 512;
  for (std::int64_t first = 0; first < n; first += kPiece) {
    const std::int64_t last = std::min(n, first + kPiece);
    std::int64_t k = 0;
    for (; k + 4 <= count; k += 4) {
      const double a0 = a[k], a1 = a[k + 1], a2 = a[k + 2], a3 = a[k + 3];
      const double *b0 = b + offset(k), *b1 = b + offset(k + 1), *b2 = b + offset(k + 2), *b3 = b + offset(k + 3);
      for (std::int64_t j = first; j < last; ++j) y[j] += (a0 * b0[j] + a1 * b1[j]) + (a2 * b2[j] + a3 * b3[j]);
    }
    for (; k < count; ++k) {
      const double a0 = a[k];
      const double* b0 = b + offset(k);
      for (std::int64_t j = first; j < last; ++j) y[j] += a0 * b0[j];
    }
  }
}

// Eight partial sums, because the compiler may not reorder one.
inline double dot(const double* a, const double* b, std::int64_t n) {
  constexpr std::int64_t kLanes = 8;
  double lanes[kLanes] = {};
  std::int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[j + lane] * b[j + lane];
  double sum = 0;
  for (; j < n; ++j) sum += a[j] * b[j];
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace heft::reference
