// How the gradient for a weight is cut up: its sums run over output pixels, eight of which are one step of the tensor cores. A
// strip is eight lanes, 2^log_lanes columns of as many images as fill 8, walked down `rows` rows; a warp takes one strip of a
// tile at a time (two in bf16, whose values then come in pairs), and a block's warps add what they found at the end. Internal
// to cuda/.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/conv_tile_plan.h"

namespace heft::cuda {

struct StripPlan {
  const void *dy, *x;      // floats or bf16
  float *partials, *bias;  // (splits, weights then biases), or the gradients themselves; `bias` may be null
  int images, in_h, in_w, in_c, out_h, out_w, out_c, taps;
  int load_h, load_w, step_h, step_w, origin_h, origin_w;  // as in TilePlan
  int log_lanes, rows, strips_w, strips_h, strips_n;
  int tile_h, tile_w, phase_cols, row_pitch, tile_pixels;
  int tiles_h, tiles_w, tiles, splits;
  FastDivide by_row_pitch, by_tile_h, by_phase_cols, by_in_c;
  int offsets[kMaxTaps];           // of each tap, in pixels of the input tile
  std::uint8_t weights[kMaxTaps];  // r * kw + s of each

  __host__ __device__ int strips() const { return strips_w * strips_h * strips_n; }
  __host__ __device__ int columns_per_tile() const { return strips_w << log_lanes; }
  __host__ __device__ int rows_per_tile() const { return strips_h * rows; }
  __host__ __device__ int images_per_tile() const { return (8 >> log_lanes) * strips_n; }
  __host__ __device__ std::int64_t weight_count() const { return std::int64_t{out_c} * taps * in_c; }
  __host__ __device__ std::int64_t partial_size() const { return weight_count() + (bias ? out_c : 0); }

  // `workspace` takes the partial sums; a single split is the gradient itself.
  void set_operands(const void* y_gradient, const void* input, float* dweight, float* dbias, float* workspace) {
    dy = y_gradient, x = input, partials = splits > 1 ? workspace : dweight;
    bias = dbias && splits > 1 ? workspace + weight_count() : dbias;
  }
  // Image, row and column of lane `lane` of strip `strip`, its row `row`.
  __device__ int3 output(int strip, int row, int lane) const {
    return make_int3(strip / (strips_w * strips_h) * (8 >> log_lanes) + (lane >> log_lanes),
                     strip / strips_w % strips_h * rows + row,
                     (strip % strips_w << log_lanes) + (lane & ((1 << log_lanes) - 1)));
  }
  // Of lane `lane` of strip `strip`, its first row: the pixel of the input tile that the tap with offset 0 meets.
  __device__ int x_lane(int strip, int lane) const {
    const int3 at = output(strip, 0, lane);
    return (at.x * tile_h + at.y * step_h) * row_pitch + at.z;
  }
};

// A pixel of a tile: how far it lies from the tile's first, in values, and where, for TileLimits.
struct TilePlace {
  int offset, packed;
};
// Image, row and column, each under 512, with a spare bit above each.
__device__ inline int pack_place(int n, int i, int j) { return n << 20 | i << 10 | j; }
constexpr int kSpareBits = 1 << 29 | 1 << 19 | 1 << 9;

// Which places of a tile lie inside of the images: three comparisons in one subtraction each.
struct TileLimits {
  int low = 0, high = 0;
  __device__ bool hold(int packed) const {
    return (((packed | kSpareBits) - low) & ((high | kSpareBits) - packed) & kSpareBits) == kSpareBits;
  }
  __device__ static int clip(int k) { return min(max(k, 0), 511); }
};

// A tile by its first output, stepping through a split's share in order.
struct StripTile {
  int n, i, j;
  __device__ StripTile(const StripPlan& p, int tile)
      : n(tile / p.tiles_w / p.tiles_h * p.images_per_tile()),
        i(tile / p.tiles_w % p.tiles_h * p.rows_per_tile()),
        j(tile % p.tiles_w * p.columns_per_tile()) {}
  __device__ void advance(const StripPlan& p) {
    j += p.columns_per_tile();
    if (j < p.out_w) return;
    j = 0, i += p.rows_per_tile();
    if (i < p.out_h) return;
    i = 0, n += p.images_per_tile();
  }
  __device__ TileLimits dy_limits(const StripPlan& p) const {
    return {0, pack_place(TileLimits::clip(p.images - 1 - n), TileLimits::clip(p.out_h - 1 - i),
                          TileLimits::clip(p.out_w - 1 - j))};
  }
  __device__ std::int64_t dy_pixel(const StripPlan& p) const { return (std::int64_t{n} * p.out_h + i) * p.out_w + j; }
  __device__ int x_row(const StripPlan& p) const { return p.origin_h + i * p.step_h * p.load_h; }
  __device__ int x_column(const StripPlan& p) const { return p.origin_w + j * p.step_w * p.load_w; }
  __device__ TileLimits x_limits(const StripPlan& p) const {
    const int y = x_row(p), x = x_column(p), low_y = max(p.load_h - 1 - y, 0) / p.load_h,
              low_x = max(p.load_w - 1 - x, 0) / p.load_w;
    const int high_y = p.in_h - 1 - y, high_x = p.in_w - 1 - x;
    // Nothing is inside of an empty range.
    if (high_y < 0 || high_x < 0) return {pack_place(1, 0, 0), 0};
    return {pack_place(0, TileLimits::clip(low_y), TileLimits::clip(low_x)),
            pack_place(TileLimits::clip(p.images - 1 - n), TileLimits::clip(high_y / p.load_h),
                       TileLimits::clip(high_x / p.load_w))};
  }
  // May lie outside; so may a place's offset from it.
  __device__ std::int64_t x_pixel(const StripPlan& p) const {
    return (std::int64_t{n} * p.in_h + x_row(p)) * p.in_w + x_column(p);
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

// `problem` describes the forward convolution. `blocks_per_split` blocks share the pixels of one; `blocks`: how many to aim at.
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
  p.by_row_pitch = FastDivide(p.row_pitch), p.by_tile_h = FastDivide(p.tile_h), p.by_phase_cols = FastDivide(p.phase_cols);
  p.by_in_c = FastDivide(p.in_c);
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

// The part of a weight's gradient that does not depend on how the input lies in shared memory. kOutTiles warps of 16 output
// channels by kStrips warps along pixels, kRows rows each. T: float or bf16, what dy and x hold.
template <class T, int kOutTiles, int kStrips, int kRows>
class StripBlock {
 public:
  static constexpr bool kFloats = std::is_same_v<T, float>;
  static constexpr int kWarpStrips = kFloats ? 1 : 2, kVector = 16 / sizeof(T);
  static constexpr int kThreads = 32 * kOutTiles * kStrips, kOut = 16 * kOutTiles, kVectors = kOut / 4;
  static constexpr int kStripCount = kStrips * kWarpStrips;
  static constexpr int kDyPitch = kFloats ? kOut + 8 : kOut == 16 ? 16 : kOut + 16;  // lanes 8 banks apart
  static constexpr int kDyPixels = kStripCount * kRows * 8, kDyFloats = kDyPixels * kDyPitch * int{sizeof(T)} / 4;

  // In front of everything else in shared memory: places of dy's pixels, then of the input's.
  static constexpr std::size_t place_floats(int tile_pixels) {
    return static_cast<std::size_t>((2 * (tile_pixels + kDyPixels) + 3) / 4 * 4);
  }

  __device__ StripBlock(const StripPlan& plan, float* shared)
      : p(plan), places(reinterpret_cast<TilePlace*>(shared)), out0(static_cast<int>(blockIdx.z) * kOut) {}

  __device__ void find_places() {
    for (int k = threadIdx.x; k < kDyPixels; k += kThreads) {
      const int3 at = p.output(k / (kRows * 8), k / 8 % kRows, k % 8);
      places[k] = {((at.x * p.out_h + at.y) * p.out_w + at.z) * p.out_c, pack_place(at.x, at.y, at.z)};
    }
    for (int k = threadIdx.x; k < p.tile_pixels; k += kThreads) {
      const int row = p.by_row_pitch.quotient(k), within = p.by_row_pitch.rest(k, row), n = p.by_tile_h.quotient(row);
      const int y = p.by_tile_h.rest(row, n), phase = p.by_phase_cols.quotient(within);
      const int x = p.by_phase_cols.rest(within, phase) * p.step_w + phase;
      places[kDyPixels + k] = {((n * p.in_h + y * p.load_h) * p.in_w + x * p.load_w) * p.in_c, pack_place(n, y, x)};
    }
  }
  __device__ const TilePlace* x_places() const { return places + kDyPixels; }

  __device__ void fetch_dy(const StripTile& tile, T* dy) const {
    const TileLimits limits = tile.dy_limits(p);
    const T* first = static_cast<const T*>(p.dy) + tile.dy_pixel(p) * p.out_c + out0;
    if (!kFloats || p.out_c % 4 == 0) {
      constexpr int kCopies = kOut / kVector;
      const int vector = threadIdx.x % kCopies * kVector, pixel0 = threadIdx.x / kCopies;
      const bool inside = out0 + vector < p.out_c;
      const T* from = first + vector;
#pragma unroll 4
      for (int pixel = pixel0; pixel < kDyPixels; pixel += kThreads / kCopies) {
        const TilePlace at = places[pixel];
        copy_async_16(dy + pixel * kDyPitch + vector, from + at.offset, inside && limits.hold(at.packed));
      }
    } else if constexpr (kFloats) {
#pragma unroll 4
      for (int k = threadIdx.x; k < kDyPixels * kOut; k += kThreads) {
        const TilePlace at = places[k / kOut];
        copy_async_4(dy + k / kOut * kDyPitch + k % kOut, first + at.offset + k % kOut,
                     out0 + k % kOut < p.out_c && limits.hold(at.packed));
      }
    }
  }
  // For the bias' gradient, from values not yet rounded: a thread always meets the same four channels.
  __device__ void add_bias(const T* dy) {
    if (!kFloats || p.out_c % 4 != 0) __syncthreads();  // others have copied it
    const int vector = threadIdx.x % kVectors * 4;
#pragma unroll 4
    for (int pixel = threadIdx.x / kVectors; pixel < kDyPixels; pixel += kThreads / kVectors) {
      const float4 v = load_4(dy + pixel * kDyPitch + vector);
      bias.x += v.x, bias.y += v.y, bias.z += v.z, bias.w += v.w;
    }
  }
  // The operand's values of two neighbouring channels at a pixel, or, in bf16, at a pixel of each of the warp's strips, which
  // lie `apart` values apart: pairs for the first channel, and for the second. Floats are rounded in registers: passes over
  // shared memory would cost more.
  __device__ static float2 two_channels(const T* at, int apart) {
    if constexpr (kFloats) {
      const float2 v = *reinterpret_cast<const float2*>(at);
      return make_float2(round_tf32(v.x), round_tf32(v.y));
    } else {
      const auto one = *reinterpret_cast<const unsigned*>(at), other = *reinterpret_cast<const unsigned*>(at + apart);
      return make_float2(__uint_as_float(__byte_perm(one, other, 0x5410)), __uint_as_float(__byte_perm(one, other, 0x7632)));
    }
  }
  // Row g of a 16 x 8 tile of dy is channel 2 g, row g + 8 is 2 g + 1, so that both are loaded together.
  __device__ void load_dy(float (&a)[4], const T* lane, int row) const {
    constexpr int kApart = kStrips * kRows * 8 * kDyPitch;
    const float2 low = two_channels(lane + row * 8 * kDyPitch, kApart);
    const float2 high = two_channels(lane + (row * 8 + 4) * kDyPitch, kApart);
    a[0] = low.x, a[1] = low.y, a[2] = high.x, a[3] = high.y;
  }
  __device__ static int dy_lane() {
    const int lane = threadIdx.x % 32;
    return (strip() * kRows * 8 + lane % 4) * kDyPitch + part() * 16 + lane / 4 * 2;
  }
  // The first of the warp's strips; the second is kStrips further on.
  __device__ static int strip() { return threadIdx.x / 32 / kOutTiles; }
  __device__ static int part() { return threadIdx.x / 32 % kOutTiles; }

  // All threads; `shared` holds four floats a thread.
  __device__ void store_bias(float* partial, float* shared) const {
    __syncthreads();
    reinterpret_cast<float4*>(shared)[threadIdx.x] = bias;
    __syncthreads();
    const int o = threadIdx.x;
    if (o >= kOut || out0 + o >= p.out_c) return;
    float sum = 0;
    for (int from = o / 4; from < kThreads; from += kVectors) sum += shared[from * 4 + o % 4];
    partial[out0 + o] = sum;
  }

  // Adds, into the warps of strip 0, the kCount sums that a lane holds in the warps of all strips. All threads; `shared` holds
  // adding_floats(kCount).
  static constexpr std::size_t adding_floats(int count) {
    return std::max<std::size_t>(kStrips / 2 * kOutTiles * 32 * static_cast<std::size_t>(count), kThreads * 4);
  }
  template <int kCount>
  __device__ static void add_strips(float* sums, float* shared) {
#pragma unroll
    for (int half = kStrips / 2; half > 0; half /= 2) {
      __syncthreads();
      float* slot = shared + (strip() % half * kOutTiles + part()) * 32 * kCount + threadIdx.x % 32;
      if (strip() >= half && strip() < 2 * half)
#pragma unroll
        for (int e = 0; e < kCount; ++e) slot[e * 32] = sums[e];
      __syncthreads();
      if (strip() < half)
#pragma unroll
        for (int e = 0; e < kCount; ++e) sums[e] += slot[e * 32];
    }
  }

  const StripPlan& p;
  TilePlace* places;
  int out0;
  float4 bias = make_float4(0, 0, 0, 0);
};

}  // namespace heft::cuda
