// What the convolution and its weight's gradient share: tiles of images with channels in lanes, and their transformations.
// Internal to core/cpu/winograd*.cpp.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/cpu/simd.h"

namespace heft::winograd {

inline constexpr std::int64_t kTile = 6, kResults = 4, kPositions = kTile * kTile;
// Tiles that are worked on together. Their transforms lie in the L2 cache.
inline constexpr std::int64_t kTogether = 24;

// The interpolation points are 0, +-p, +-q and infinity.
inline constexpr float kP = 0.75F, kQ = 1.5F, kP2 = kP * kP, kQ2 = kQ * kQ;

// Images with channels in blocks of as many as a vector has lanes, and how tiles of results cover them.
struct Images {
  const float* data = nullptr;
  std::int64_t blocks = 0, height = 0, width = 0;
};
struct Grid {
  std::int64_t rows = 0, columns = 0, images = 0;
  std::int64_t count() const { return rows * columns * images; }
};
struct Place {
  HEFT_SIMD Place(const Grid& grid, std::int64_t tile)
      : image(tile / (grid.rows * grid.columns)),
        top(tile / grid.columns % grid.rows * kResults),
        left(tile % grid.columns * kResults) {}
  std::int64_t image, top, left;  // of the results
};

// `Size` x `Size` pixels from (top, left) on, zeros outside the image. `Inside`: there are none.
template <int W, int Size, bool Inside>
struct Pixels {
  HEFT_SIMD Pixels(const Images& x, std::int64_t image, std::int64_t block, std::int64_t top, std::int64_t left)
      : plane(x.data + (image * x.blocks + block) * x.height * x.width * W),
        first((top * x.width + left) * W),
        row(x.width * W) {
    for (int i = 0; !Inside && i < Size; ++i) {
      if (top + i >= 0 && top + i < x.height) rows |= 1U << i;
      if (left + i >= 0 && left + i < x.width) columns |= 1U << i;
    }
  }
  HEFT_SIMD simd::Vec<W> at(int i, int j) const {
    if (!Inside && !((rows >> i) & (columns >> j) & 1U)) return simd::Vec<W>{};
    return simd::load<W>(plane + first + i * row + j * W);
  }

  const float* plane;
  std::int64_t first, row;
  unsigned rows = 0, columns = 0;  // bits of those that the image has
};

template <int Size>
HEFT_SIMD bool is_inside(const Images& x, std::int64_t top, std::int64_t left) {
  return top >= 0 && left >= 0 && top + Size <= x.height && left + Size <= x.width;
}

// One axis of B^T d: six pixels to six positions.
template <class V>
HEFT_SIMD void pixels_to_positions(const V& d0, const V& d1, const V& d2, const V& d3, const V& d4, const V& d5, V (&out)[6]) {
  const V even_p = d4 - kQ2 * d2, odd_p = kP * (d3 - kQ2 * d1), even_q = d4 - kP2 * d2, odd_q = kQ * (d3 - kP2 * d1);
  out[0] = kP2 * kQ2 * d0 - (kP2 + kQ2) * d2 + d4;
  out[1] = even_p + odd_p;
  out[2] = even_p - odd_p;
  out[3] = even_q + odd_q;
  out[4] = even_q - odd_q;
  out[5] = kP2 * kQ2 * d1 - (kP2 + kQ2) * d3 + d5;
}

// One axis of A^T m: six positions to four results.
template <class V>
HEFT_SIMD void positions_to_results(const V& m0, const V& m1, const V& m2, const V& m3, const V& m4, const V& m5, V (&out)[4]) {
  const V even_p = m1 + m2, odd_p = m1 - m2, even_q = m3 + m4, odd_q = m3 - m4;
  out[0] = m0 + even_p + even_q;
  out[1] = kP * odd_p + kQ * odd_q;
  out[2] = kP2 * even_p + kQ2 * even_q;
  out[3] = kP2 * kP * odd_p + kQ2 * kQ * odd_q + m5;
}

// One axis of A y, its transpose: four gradients of results to six positions.
template <class V>
HEFT_SIMD void results_to_positions(const V& y0, const V& y1, const V& y2, const V& y3, V (&out)[6]) {
  const V even_p = y0 + kP2 * y2, odd_p = kP * (y1 + kP2 * y3), even_q = y0 + kQ2 * y2, odd_q = kQ * (y1 + kQ2 * y3);
  out[0] = y0;
  out[1] = even_p + odd_p;
  out[2] = even_p - odd_p;
  out[3] = even_q + odd_q;
  out[4] = even_q - odd_q;
  out[5] = y3;
}

// The 36 positions of a tile of pixels, `step` floats apart.
template <int W, bool Inside>
HEFT_SIMD void transform_pixels(const Pixels<W, kTile, Inside>& pixels, float* out, std::int64_t step) {
  using V = simd::Vec<W>;
  V half[kTile][kTile];
  for (int j = 0; j < kTile; ++j) {
    V column[6];
    pixels_to_positions<V>(pixels.at(0, j), pixels.at(1, j), pixels.at(2, j), pixels.at(3, j), pixels.at(4, j), pixels.at(5, j),
                           column);
    for (int i = 0; i < kTile; ++i) half[i][j] = column[i];
  }
  for (int i = 0; i < kTile; ++i) {
    V row[6];
    pixels_to_positions<V>(half[i][0], half[i][1], half[i][2], half[i][3], half[i][4], half[i][5], row);
    for (int j = 0; j < kTile; ++j) simd::store<W>(out + (i * kTile + j) * step, row[j]);
  }
}

// The same of a tile of gradients of results.
template <int W, bool Inside>
HEFT_SIMD void transform_gradients(const Pixels<W, kResults, Inside>& gradients, float* out, std::int64_t step) {
  using V = simd::Vec<W>;
  V half[kTile][kResults];
  for (int j = 0; j < kResults; ++j) {
    V column[6];
    results_to_positions<V>(gradients.at(0, j), gradients.at(1, j), gradients.at(2, j), gradients.at(3, j), column);
    for (int i = 0; i < kTile; ++i) half[i][j] = column[i];
  }
  for (int i = 0; i < kTile; ++i) {
    V row[6];
    results_to_positions<V>(half[i][0], half[i][1], half[i][2], half[i][3], row);
    for (int j = 0; j < kTile; ++j) simd::store<W>(out + (i * kTile + j) * step, row[j]);
  }
}

// Reads and transforms a tile.
template <int W>
HEFT_SIMD void read_tile(const Images& x, std::int64_t image, std::int64_t block, std::int64_t top, std::int64_t left,
                         float* out, std::int64_t step) {
  if (is_inside<kTile>(x, top, left)) transform_pixels(Pixels<W, kTile, true>(x, image, block, top, left), out, step);
  else transform_pixels(Pixels<W, kTile, false>(x, image, block, top, left), out, step);
}
// The same of gradients, and adds them up into `sum` if that is not null.
template <int W>
HEFT_SIMD void read_gradients(const Images& dy, std::int64_t image, std::int64_t block, std::int64_t top, std::int64_t left,
                              float* out, std::int64_t step, float* sum) {
  if (is_inside<kResults>(dy, top, left))
    transform_gradients(Pixels<W, kResults, true>(dy, image, block, top, left), out, step);
  else transform_gradients(Pixels<W, kResults, false>(dy, image, block, top, left), out, step);
  if (!sum) return;
  const Pixels<W, kResults, false> gradients(dy, image, block, top, left);
  simd::Vec<W> total = simd::load<W>(sum);
  for (int i = 0; i < kResults; ++i)
    for (int j = 0; j < kResults; ++j) total += gradients.at(i, j);
  simd::store<W>(sum, total);
}

// G g G^T of a 3 x 3 filter, and the transpose of that: G^T u G of 6 x 6 positions.
inline constexpr double kFilter[6][3] = {
    {1 / (0.5625 * 2.25), 0, 0},
    {1 / (2 * 0.5625 * (0.5625 - 2.25)), 0.75 / (2 * 0.5625 * (0.5625 - 2.25)), 0.5625 / (2 * 0.5625 * (0.5625 - 2.25))},
    {1 / (2 * 0.5625 * (0.5625 - 2.25)), -0.75 / (2 * 0.5625 * (0.5625 - 2.25)), 0.5625 / (2 * 0.5625 * (0.5625 - 2.25))},
    {1 / (2 * 2.25 * (2.25 - 0.5625)), 1.5 / (2 * 2.25 * (2.25 - 0.5625)), 2.25 / (2 * 2.25 * (2.25 - 0.5625))},
    {1 / (2 * 2.25 * (2.25 - 0.5625)), -1.5 / (2 * 2.25 * (2.25 - 0.5625)), 2.25 / (2 * 2.25 * (2.25 - 0.5625))},
    {0, 0, 1}};

}  // namespace heft::winograd
