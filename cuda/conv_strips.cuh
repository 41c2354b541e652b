// How the gradient for a weight is cut up: its sums run over output pixels, eight of which are one step of the tensor cores. A
// strip is eight lanes, 2^log_lanes columns of as many images as fill 8, walked down `rows` rows; a warp takes one strip of a
// tile at a time, and a block's warps add what they found at the end. Internal to cuda/.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/conv_tile_plan.h"

namespace heft::cuda {

struct StripPlan {
  const float *dy, *x;
  float* partials;  // (splits, weights then biases)
  int images, in_h, in_w, in_c, out_h, out_w, out_c, taps;
  int load_h, load_w, step_h, step_w, origin_h, origin_w;  // as in TilePlan
  int log_lanes, rows, strips_w, strips_h, strips_n;
  int tile_h, tile_w, phase_cols, row_pitch, tile_pixels;
  int tiles_h, tiles_w, tiles, splits;
  int offsets[kMaxTaps];           // of each tap, in pixels of the input tile
  std::uint8_t weights[kMaxTaps];  // r * kw + s of each
  bool bias;

  __host__ __device__ int strips() const { return strips_w * strips_h * strips_n; }
  __host__ __device__ int columns_per_tile() const { return strips_w << log_lanes; }
  __host__ __device__ int rows_per_tile() const { return strips_h * rows; }
  __host__ __device__ int images_per_tile() const { return (8 >> log_lanes) * strips_n; }
  __host__ __device__ int dy_pixels() const { return strips() * rows * 8; }
  __host__ __device__ std::int64_t weight_count() const { return std::int64_t{out_c} * taps * in_c; }
  __host__ __device__ std::int64_t partial_size() const { return weight_count() + (bias ? out_c : 0); }

  // A place of the tile, packed in an int: image, row, column, each under 1024.
  __device__ static int pack(int n, int i, int j) { return n << 20 | i << 10 | j; }
  // Of dy pixel k, which is (strip, row, lane).
  __device__ int dy_place(int k) const {
    const int strip = k / (rows * 8), lane = k % 8;
    return pack(strip / (strips_w * strips_h) * (8 >> log_lanes) + (lane >> log_lanes),
                strip / strips_w % strips_h * rows + k / 8 % rows,
                (strip % strips_w << log_lanes) + (lane & ((1 << log_lanes) - 1)));
  }
  __device__ int x_place(int k) const {
    const int row = k / row_pitch, within = k % row_pitch;
    return pack(row / tile_h, row % tile_h, within % phase_cols * step_w + within / phase_cols);
  }
  // Of lane `lane` of strip `strip`, its first row: the pixel of the input tile that the tap with offset 0 meets.
  __device__ int x_lane(int strip, int lane) const {
    const int n = strip / (strips_w * strips_h) * (8 >> log_lanes) + (lane >> log_lanes);
    const int i = strip / strips_w % strips_h * rows, j = (strip % strips_w << log_lanes) + (lane & ((1 << log_lanes) - 1));
    return (n * tile_h + i * step_h) * row_pitch + j;
  }
};

// The first output of a tile.
struct StripTile {
  int n, i, j;
  __device__ StripTile(const StripPlan& p, int tile)
      : n(tile / p.tiles_w / p.tiles_h * p.images_per_tile()),
        i(tile / p.tiles_w % p.tiles_h * p.rows_per_tile()),
        j(tile % p.tiles_w * p.columns_per_tile()) {}
  // The pixel of dy or x at a packed place; -1 outside.
  __device__ int dy_pixel(const StripPlan& p, int place) const {
    const int at_n = n + (place >> 20), at_i = i + (place >> 10 & 1023), at_j = j + (place & 1023);
    return at_n < p.images && at_i < p.out_h && at_j < p.out_w ? (at_n * p.out_h + at_i) * p.out_w + at_j : -1;
  }
  __device__ int x_pixel(const StripPlan& p, int place) const {
    const int at_n = n + (place >> 20), y = p.origin_h + (i * p.step_h + (place >> 10 & 1023)) * p.load_h;
    const int at_x = p.origin_w + (j * p.step_w + (place & 1023)) * p.load_w;
    return at_n < p.images && y >= 0 && y < p.in_h && at_x >= 0 && at_x < p.in_w ? (at_n * p.in_h + y) * p.in_w + at_x : -1;
  }
};

// The tiles that a split takes: [first, last).
struct StripShare {
  int first, last;
  __device__ StripShare(const StripPlan& p, int split) {
    const int each = (p.tiles + p.splits - 1) / p.splits;
    first = min(split * each, p.tiles), last = min(first + each, p.tiles);
  }
};

// `problem` describes the forward convolution. blocks_per_split: of one share of the pixels; per_device: blocks to aim at.
inline StripPlan cut_into_strips(const TileProblem& problem, int strips, int rows, int blocks_per_split, int blocks) {
  const TilePlan& f = problem.plan;
  StripPlan p{};
  p.images = f.images, p.in_h = f.in_h, p.in_w = f.in_w, p.in_c = f.in_c, p.out_h = f.out_h, p.out_w = f.out_w;
  p.out_c = f.out_c, p.taps = f.weight_taps;
  p.load_h = f.load_h, p.load_w = f.load_w, p.step_h = f.step_h, p.step_w = f.step_w;
  p.origin_h = f.classes[0].origin_h, p.origin_w = f.classes[0].origin_w;
  p.log_lanes = p.out_w <= 4 ? 2 : 3;
  p.rows = rows;
  p.strips_w = p.strips_h = p.strips_n = 1;
  // A square of columns and rows shares most of its border.
  if (strips >= 2 && p.columns_per_tile() < p.out_w) p.strips_w = 2;
  while (p.strips() < strips && p.rows_per_tile() < p.out_h) p.strips_h *= 2;
  while (p.strips() < strips && p.columns_per_tile() < p.out_w) p.strips_w *= 2;
  p.strips_n = strips / (p.strips_w * p.strips_h);
  p.tile_h = (p.rows_per_tile() - 1) * p.step_h + problem.last_row + 1;
  p.tile_w = (p.columns_per_tile() - 1) * p.step_w + problem.last_column + 1;
  p.phase_cols = (p.tile_w + p.step_w - 1) / p.step_w;
  p.row_pitch = p.step_w * p.phase_cols;
  p.tile_pixels = p.images_per_tile() * p.tile_h * p.row_pitch;
  p.tiles_h = (p.out_h + p.rows_per_tile() - 1) / p.rows_per_tile();
  p.tiles_w = (p.out_w + p.columns_per_tile() - 1) / p.columns_per_tile();
  p.tiles = (p.images + p.images_per_tile() - 1) / p.images_per_tile() * p.tiles_h * p.tiles_w;
  const int most = std::clamp(blocks / blocks_per_split, 1, p.tiles), each = (p.tiles + most - 1) / most;
  p.splits = (p.tiles + each - 1) / each;
  for (std::size_t k = 0; k < problem.taps.size(); ++k) {
    const TileProblem::Tap& tap = problem.taps[k];
    p.offsets[k] = tap.row * p.row_pitch + tap.column % p.step_w * p.phase_cols + tap.column / p.step_w;
    p.weights[k] = static_cast<std::uint8_t>(tap.weight);
  }
  return p;
}

// Adds, into the warps of strip 0, the `kCount` sums a lane holds in the warps of all strips. A warp is `strip` of kStrips and
// `part` of kParts; `shared` holds kStrips / 2 * kParts * 32 * kCount floats. Every thread of the block calls it.
template <int kStrips, int kParts, int kCount>
__device__ void add_strips(float* sums, int strip, int part, float* shared) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = kStrips / 2; half > 0; half /= 2) {
    __syncthreads();
    float* slot = shared + ((strip % half) * kParts + part) * 32 * kCount + lane;
    if (strip >= half && strip < 2 * half)
      for (int e = 0; e < kCount; ++e) slot[e * 32] = sums[e];
    __syncthreads();
    if (strip < half)
      for (int e = 0; e < kCount; ++e) sums[e] += slot[e * 32];
  }
}

}  // namespace heft::cuda
