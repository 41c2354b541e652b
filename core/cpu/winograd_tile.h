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

// One axis of B^T d: six pixels to six positions.
template <class V>
HEFT_SIMD void to_positions(const V (&d)[6], V (&out)[6]) {
  const V even_p = d[4] - kQ2 * d[2], odd_p = kP * (d[3] - kQ2 * d[1]), even_q = d[4] - kP2 * d[2],
          odd_q = kQ * (d[3] - kP2 * d[1]);
  out[0] = kP2 * kQ2 * d[0] - (kP2 + kQ2) * d[2] + d[4];
  out[1] = even_p + odd_p;
  out[2] = even_p - odd_p;
  out[3] = even_q + odd_q;
  out[4] = even_q - odd_q;
  out[5] = kP2 * kQ2 * d[1] - (kP2 + kQ2) * d[3] + d[5];
}

// One axis of A^T m: six positions to four results.
template <class V>
HEFT_SIMD void to_results(const V (&m)[6], V (&out)[4]) {
  const V even_p = m[1] + m[2], odd_p = m[1] - m[2], even_q = m[3] + m[4], odd_q = m[3] - m[4];
  out[0] = m[0] + even_p + even_q;
  out[1] = kP * odd_p + kQ * odd_q;
  out[2] = kP2 * even_p + kQ2 * even_q;
  out[3] = kP2 * kP * odd_p + kQ2 * kQ * odd_q + m[5];
}

// One axis of A y, its transpose: four gradients of results to six positions.
template <class V>
HEFT_SIMD void to_positions(const V (&y)[4], V (&out)[6]) {
  const V even_p = y[0] + kP2 * y[2], odd_p = kP * (y[1] + kP2 * y[3]), even_q = y[0] + kQ2 * y[2],
          odd_q = kQ * (y[1] + kQ2 * y[3]);
  out[0] = y[0];
  out[1] = even_p + odd_p;
  out[2] = even_p - odd_p;
  out[3] = even_q + odd_q;
  out[4] = even_q - odd_q;
  out[5] = y[3];
}

// The 36 positions of a tile of pixels, or of gradients of results, `step` floats apart: both axes, one after the other.
template <int W, int Size, bool Inside>
HEFT_SIMD void transform(const Pixels<W, Size, Inside>& tile, float* out, std::int64_t step) {
  using V = simd::Vec<W>;
  V half[kTile][Size];
  for (int j = 0; j < Size; ++j) {
    V column[Size], positions[kTile];
    for (int i = 0; i < Size; ++i) column[i] = tile.at(i, j);
    to_positions<V>(column, positions);
    for (int i = 0; i < kTile; ++i) half[i][j] = positions[i];
  }
  for (int i = 0; i < kTile; ++i) {
    V positions[kTile];
    to_positions<V>(half[i], positions);
    for (int j = 0; j < kTile; ++j) simd::store<W>(out + (i * kTile + j) * step, positions[j]);
  }
}

// Reads a tile from (top, left) on and transforms it: Size is kTile for pixels, kResults for gradients.
template <int W, int Size>
HEFT_SIMD void read_tile(const Images& x, std::int64_t image, std::int64_t block, std::int64_t top, std::int64_t left,
                         float* out, std::int64_t step) {
  if (top >= 0 && left >= 0 && top + Size <= x.height && left + Size <= x.width)
    transform(Pixels<W, Size, true>(x, image, block, top, left), out, step);
  else transform(Pixels<W, Size, false>(x, image, block, top, left), out, step);
}

// sum += the gradients of a tile.
template <int W>
HEFT_SIMD void add_gradients(const Images& dy, std::int64_t image, std::int64_t block, std::int64_t top, std::int64_t left,
                             float* sum) {
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
