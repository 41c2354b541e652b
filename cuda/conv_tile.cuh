// A convolution on tensor cores as sums over taps of one tile of the input in shared memory: each input value is fetched once a
// block and met by every tap, where an implicit matrix product would gather it once a tap. The forward convolution and the
// gradient for the input are the same kernel over different taps (make_tile_plan in conv_forward.cu, conv_backward_input.cu).
// It moves and multiplies units of 4 bytes, each a float or two neighbouring channels in bf16.
// Internal to cuda/.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/conv.h"
#include "cuda/mma.cuh"

namespace heft::cuda {

constexpr int kMaxTaps = 64, kMaxClasses = 4;

// k / divisor by one multiplication, where k * divisor < 2^32.
struct FastDivide {
  unsigned divisor = 1, magic = 0;
  FastDivide() = default;
  explicit FastDivide(int by)
      : divisor(static_cast<unsigned>(by)),
        magic(by > 1 ? static_cast<unsigned>(((std::uint64_t{1} << 32) + divisor - 1) / divisor) : 0) {}
  __device__ int quotient(int k) const { return magic ? static_cast<int>(__umulhi(static_cast<unsigned>(k), magic)) : k; }
  __device__ int rest(int k, int quotient) const { return k - quotient * static_cast<int>(divisor); }
};

// Output positions (i * out_step + a, j * out_step + b) for one remainder (a, b): they all meet the same taps.
struct TileClass {
  int first_tap = 0, taps = 0;
  int a = 0, b = 0, grid_h = 0, grid_w = 0;
  int origin_h = 0, origin_w = 0;  // of the input, at i = j = 0 and the smallest tap
};
struct TileTap {
  int offset;  // from an output position's place in the tile, in bytes
  int weight;  // of the tap's first weight from an output (forward) or input (backward) channel's, in units
};

// The block's pixels are rows of 16 lanes, a lane group: 2^log_lanes columns of as many images as fill 16. A tile has `rows`
// rows of groups_w * groups_n lane groups. The input tile is stored by columns modulo the step, so that lanes lie one pixel
// apart.
struct TilePlan {
  const float *in, *weight;  // units
  const float* bias;
  void* out;                                          // floats or bf16
  int images, in_h, in_w, in_c, out_h, out_w, out_c;  // in_c in units
  int weight_taps, weight_pitch;                      // units from a channel's weights to the next's
  int load_h, load_w;                                 // input rows and columns from one of the tile's to the next
  int step_h, step_w;                                 // tile rows and columns from one output to the next
  int out_step_h, out_step_w;
  int log_lanes, rows, groups_w, groups_n;
  int tile_h, tile_w;  // the input tile of one image
  int phase_cols;      // ceil(tile_w / step_w)
  int row_pitch;       // step_w * phase_cols, pixels
  int tile_pixels;
  int tiles_h, tiles_w;  // output tiles of an image
  int channel_tiles;
  FastDivide by_row_pitch, by_tile_h, by_phase_cols, by_tiles_w, by_channel_tiles;
  int group_taps;  // taps whose weights one pipeline step brings
  int input_stages, weight_stages;
  TileClass classes[kMaxClasses];
  TileTap taps[kMaxTaps];

  __host__ __device__ int images_per_tile() const { return (16 >> log_lanes) * groups_n; }
  __host__ __device__ int columns_per_tile() const { return groups_w << log_lanes; }
};

// kRows: output rows of a warp; kPairs: 16s of output channels of a warp; kWarpsM warps along pixels, kWarpsN along channels.
// kChunk: units of input channels of a pipeline step. kChannelRows: the weight is (out, tap, in), as forward; else, in floats
// alone, (in, tap, out). kColumn: taps come in threes, one below the other, and a row of the input is read from shared memory
// once for all three.
template <class ElementT, int kRowsT, int kPairsT, int kWarpsMT, int kWarpsNT, int kChunkT, bool kChannelRowsT, bool kColumnT>
struct TileConfig {
  using Element = ElementT;  // float or bf16
  static constexpr int kRows = kRowsT, kPairs = kPairsT, kWarpsM = kWarpsMT, kWarpsN = kWarpsNT, kChunk = kChunkT;
  static constexpr bool kChannelRows = kChannelRowsT, kColumn = kColumnT;
  static constexpr int kThreads = 32 * kWarpsM * kWarpsN;
  static constexpr int kChannels = 16 * kPairs * kWarpsN;  // output channels of a block
  static constexpr int kInPitch = kChunk + 4;              // an odd number of 16 bytes: eight neighbours meet all banks
  static constexpr int kWeightPitch = kChannelRows ? kChunk + 4 : kChannels + 8;
  static constexpr int kWeightTap = kChannelRows ? kChannels * kWeightPitch : kChunk * kWeightPitch;  // floats of one tap

  static std::size_t shared_bytes(const TilePlan& p) {
    return sizeof(int) * round_up_4(p.tile_pixels) +
           sizeof(float) * (std::size_t{1} * p.input_stages * p.tile_pixels * kInPitch +
                            std::size_t{1} * p.weight_stages * p.group_taps * kWeightTap);
  }
  static constexpr std::size_t round_up_4(int n) { return static_cast<std::size_t>((n + 3) / 4 * 4); }
};

// Stores output channels o ... o + 3 of the pixel at `to`, with their biases; what goes onto a finished sum belongs here.
template <class T>
__device__ inline void write_channels(const TilePlan& p, T* to, int o, const float (&values)[4]) {
  if (p.out_c % 4 == 0) {
    if (o >= p.out_c) return;
    float4 v = make_float4(values[0], values[1], values[2], values[3]);
    if (p.bias) v.x += p.bias[o], v.y += p.bias[o + 1], v.z += p.bias[o + 2], v.w += p.bias[o + 3];
    store_4(to + o, v);
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (o + e < p.out_c) to[o + e] = static_cast<T>(values[e] + (p.bias ? p.bias[o + e] : 0.f));
  }
}

template <class Config>
class TileBlock {
 public:
  // blockIdx: (tile of an image, images, class and output channels).
  __device__ TileBlock(const TilePlan& plan, float* shared)
      : p(plan), c(plan.classes[plan.by_channel_tiles.quotient(static_cast<int>(blockIdx.z))]) {
    source = reinterpret_cast<int*>(shared);
    input = shared + (p.tile_pixels + 3) / 4 * 4;
    weights = input + p.input_stages * input_stage_floats();
    const int tile = static_cast<int>(blockIdx.x), row = p.by_tiles_w.quotient(tile);
    tile_i = row * p.rows, tile_j = p.by_tiles_w.rest(tile, row) * p.columns_per_tile();
    image = static_cast<int>(blockIdx.y) * p.images_per_tile();
    const int z = static_cast<int>(blockIdx.z);
    channel = p.by_channel_tiles.rest(z, p.by_channel_tiles.quotient(z)) * Config::kChannels;
  }

  __device__ void run() {
    find_sources();
    __syncthreads();
    const int ahead = p.weight_stages - 1;
    Step next, now;
    for (int k = 0; k < max(ahead, 1); ++k) {
      fetch(next);
      advance(next);
    }
    place_lanes();
    while (now.first < p.in_c && c.taps > 0) {
      // One group of copies is committed a step, so those that may still be under way are of the steps to come.
      if (ahead <= 1) wait_copies<0>();
      else if (ahead == 2) wait_copies<1>();
      else wait_copies<2>();
      round(now);
      __syncthreads();
      if (ahead > 0) {
        fetch(next);
        advance(next);
      }
      multiply(now);
      advance(now);
    }
    store();
  }

 private:
  static constexpr int kThreads = Config::kThreads, kChunk = Config::kChunk, kRows = Config::kRows, kPairs = Config::kPairs;
  static constexpr int kVectors = kChunk / 4;  // of 16 bytes, a pixel
  static constexpr bool kChannelRows = Config::kChannelRows, kFloats = std::is_same_v<typename Config::Element, float>;
  // Rows of a tap's weights in shared memory, vectors of each, rows that one vector a thread covers.
  static constexpr int kTapRows = kChannelRows ? Config::kChannels : kChunk;
  static constexpr int kRowVectors = kChannelRows ? kVectors : Config::kChannels / 4;
  static constexpr int kPassRows = kThreads / kRowVectors, kPassPixels = kThreads / kVectors;
  static_assert(!kChannelRows || kPassRows % 16 == 0);
  static_assert(kChannelRows || kFloats);

  // A step of the pipeline: the taps from `tap` on of the input channels from `first` on, and where they are kept.
  struct Step {
    int first = 0, tap = 0, input_stage = 0, weight_stage = 0;
  };
  __device__ void advance(Step& step) const {
    step.weight_stage = step.weight_stage + 1 == p.weight_stages ? 0 : step.weight_stage + 1;
    step.tap += p.group_taps;
    if (step.tap < c.taps) return;
    step.tap = 0, step.first += kChunk;
    step.input_stage = step.input_stage + 1 == p.input_stages ? 0 : step.input_stage + 1;
  }
  __device__ int taps_of(const Step& step) const { return min(p.group_taps, c.taps - step.tap); }
  __device__ int input_stage_floats() const { return p.tile_pixels * Config::kInPitch; }
  __device__ float* input_stage(const Step& step) const { return input + step.input_stage * input_stage_floats(); }
  __device__ float* weight_stage(const Step& step) const {
    return weights + step.weight_stage * p.group_taps * Config::kWeightTap;
  }

  // For each pixel of the tile, how far it lies from the start of the input in units of 16 bytes; -1 outside of the image.
  __device__ void find_sources() {
    const int origin_h = c.origin_h + tile_i * p.step_h * p.load_h, origin_w = c.origin_w + tile_j * p.step_w * p.load_w;
    for (int k = threadIdx.x; k < p.tile_pixels; k += kThreads) {
      const int row = p.by_row_pitch.quotient(k), within = p.by_row_pitch.rest(k, row);
      const int n = p.by_tile_h.quotient(row), phase = p.by_phase_cols.quotient(within);
      const int y = origin_h + p.by_tile_h.rest(row, n) * p.load_h;
      const int x = origin_w + (p.by_phase_cols.rest(within, phase) * p.step_w + phase) * p.load_w;
      const bool inside = image + n < p.images && static_cast<unsigned>(y) < static_cast<unsigned>(p.in_h) &&
                          static_cast<unsigned>(x) < static_cast<unsigned>(p.in_w);
      source[k] = inside ? (((image + n) * p.in_h + y) * p.in_w + x) * (p.in_c / 4) : -1;
    }
  }

  // f(tap, row) for this thread's rows of the weights of `count` taps, a whole pass of the block at a time.
  template <class F>
  __device__ static void for_rows(int count, const F& f) {
    const int first = kChannelRows ? spread(threadIdx.x / kRowVectors) : threadIdx.x / kRowVectors;
    if constexpr (kPassRows >= kTapRows) {
#pragma unroll 4
      for (int tap = first / kTapRows; tap < count; tap += kPassRows / kTapRows) f(tap, first % kTapRows);
    } else {
      for (int tap = 0; tap < count; ++tap)
#pragma unroll
        for (int row = 0; row < kTapRows; row += kPassRows) f(tap, first + row);
    }
  }

  // The order of rows in which 8 threads, of 4 vectors each, meet all banks: rows 4 apart go together, at a pitch of 5 vectors.
  __device__ static int spread(int row) { return kVectors == 4 ? (row & ~7) | (row & 1) << 2 | (row & 7) >> 1 : row; }
  __device__ static int first_pixel() { return spread(threadIdx.x / kVectors); }

  // Begins the copies of a step, if there is such a step, and commits them.
  __device__ void fetch(const Step& step) {
    if (step.first < p.in_c && c.taps > 0) {
      if (step.tap == 0) fetch_input(step);
      fetch_weights(step);
    }
    commit_copies();
  }
  __device__ void fetch_input(const Step& step) {
    const int vector = threadIdx.x % kVectors * 4, pixel0 = first_pixel();
    const bool inside = step.first + vector < p.in_c;
    const float* from = p.in + step.first + vector;
    float* to = input_stage(step) + pixel0 * Config::kInPitch + vector;
#pragma unroll 4
    for (int pixel = pixel0; pixel < p.tile_pixels; pixel += kPassPixels) {
      const int at = source[pixel];
      copy_async_16(to, from + std::int64_t{at} * 4, inside && at >= 0);
      to += kPassPixels * Config::kInPitch;
    }
  }
  __device__ void fetch_weights(const Step& step) {
    float* stage = weight_stage(step);
    const int count = taps_of(step), vector = threadIdx.x % kRowVectors * 4;
    const TileTap* taps = p.taps + c.first_tap + step.tap;
    if constexpr (kChannelRows) {
      const bool inside = step.first + vector < p.in_c;
      const float* from = p.weight + step.first + vector;
      for_rows(count, [&](int tap, int row) {
        // Rows in the order in which a pair of 8-channel tiles takes them: see store().
        const int o = channel + row / 16 * 16 + row % 8 * 2 + row / 8 % 2;
        copy_async_16(stage + (tap * kTapRows + row) * Config::kWeightPitch + vector,
                      from + (std::int64_t{o} * p.weight_pitch + taps[tap].weight), inside && o < p.out_c);
      });
    } else if (p.out_c % 4 == 0) {
      const bool inside = channel + vector < p.out_c;
      const float* from = p.weight + std::int64_t{step.first} * p.weight_pitch + channel + vector;
      for_rows(count, [&](int tap, int row) {
        copy_async_16(stage + (tap * kTapRows + row) * Config::kWeightPitch + vector,
                      from + (std::int64_t{row} * p.weight_pitch + taps[tap].weight), inside && step.first + row < p.in_c);
      });
    } else {
      for (int k = threadIdx.x; k < count * kChunk * Config::kChannels; k += kThreads) {
        const int tap = k / (kChunk * Config::kChannels), row = k / Config::kChannels % kChunk, o = k % Config::kChannels;
        copy_async_4(stage + (tap * kChunk + row) * Config::kWeightPitch + o,
                     p.weight + (std::int64_t{step.first + row} * p.weight_pitch + taps[tap].weight + channel + o),
                     channel + o < p.out_c && step.first + row < p.in_c);
      }
    }
  }

  // Rounds the input that has arrived, in place: once a value, where all taps meet it. Every thread rounds what it has copied
  // itself, which needs no barrier before. The weights are rounded in registers: the passes over shared memory would cost more.
  __device__ void round(const Step& step) {
    if (step.tap > 0 || !kFloats) return;
    float* at = input_stage(step) + first_pixel() * Config::kInPitch + threadIdx.x % kVectors * 4;
#pragma unroll 4
    for (int pixel = first_pixel(); pixel < p.tile_pixels; pixel += kPassPixels) {
      float4* vector = reinterpret_cast<float4*>(at);
      *vector = round_tf32(*vector);
      at += kPassPixels * Config::kInPitch;
    }
  }

  __device__ int lane_group() const { return warp_m() * kRows / p.rows; }
  __device__ int first_row() const { return warp_m() * kRows % p.rows; }
  __device__ static int warp_m() { return threadIdx.x / 32 % Config::kWarpsM; }
  __device__ static int warp_n() { return threadIdx.x / 32 / Config::kWarpsM; }
  // Column and image, within the tile, of lane `lane` of 16 of this warp's lane group.
  __device__ int column_of(int lane) const {
    return (lane_group() % p.groups_w << p.log_lanes) + (lane & ((1 << p.log_lanes) - 1));
  }
  __device__ int image_of(int lane) const { return lane_group() / p.groups_w * (16 >> p.log_lanes) + (lane >> p.log_lanes); }

  __device__ void place_lanes() {
    const int lane = threadIdx.x % 32;
    const int pixel = (image_of(lane % 16) * p.tile_h + first_row() * p.step_h) * p.row_pitch + column_of(lane % 16);
    input_lane = (pixel * Config::kInPitch + lane / 16 * 4) * 4;
    // Forward: row lane % 8 of matrix lane / 8; matrices are (tile 0, k), (tile 0, k + 4), (tile 1, k), (tile 1, k + 4).
    if constexpr (Config::kChannelRows)
      weight_lane = ((warp_n() * kPairs * 16 + lane / 16 * 8 + lane % 8) * Config::kWeightPitch + lane / 8 % 2 * 4) * 4;
    else weight_lane = lane % 4 * Config::kWeightPitch + warp_n() * kPairs * 16 + lane / 4 * 2;
    for (int m = 0; m < kRows; ++m)
      for (int t = 0; t < kPairs * 2; ++t)
        for (int e = 0; e < 4; ++e) sums[m][t][e] = 0;
  }

  // Weights of units k ... k + 7 for one pair of tiles: {tile 0 (t), tile 0 (t + 4), tile 1 (t), tile 1 (t + 4)}.
  __device__ void load_weights(float (&b)[4], const float* tap, int k, int pair) const {
    if constexpr (Config::kChannelRows) {
      load_matrices(b, shared_address(tap) + weight_lane + (pair * 16 * Config::kWeightPitch + k) * 4);
    } else {
      const float* at = tap + weight_lane + k * Config::kWeightPitch + pair * 16;
      const float2 low = *reinterpret_cast<const float2*>(at);
      const float2 high = *reinterpret_cast<const float2*>(at + 4 * Config::kWeightPitch);
      b[0] = low.x, b[1] = high.x, b[2] = low.y, b[3] = high.y;
    }
#pragma unroll
    for (float& v : b) v = rounded<typename Config::Element>(v);
  }

  __device__ void multiply(const Step& step) {
    const int count = taps_of(step);
    const std::uint32_t in = shared_address(input_stage(step)) + input_lane;
    const float* stage = weight_stage(step);
    const TileTap* taps = p.taps + c.first_tap + step.tap;
    constexpr int kTaps = Config::kColumn ? 3 : 1, kLoaded = kRows + kTaps - 1;
    const int row_bytes = p.step_h * p.row_pitch * Config::kInPitch * 4;
    for (int tap = 0; tap < count; tap += kTaps) {
      const std::uint32_t from = in + taps[tap].offset;
#pragma unroll
      for (int k = 0; k < kChunk; k += 8) {
        float a[kLoaded][4];
#pragma unroll
        for (int m = 0; m < kLoaded; ++m) load_matrices(a[m], from + m * row_bytes + k * 4);
#pragma unroll
        for (int r = 0; r < kTaps; ++r)
#pragma unroll
          for (int pair = 0; pair < kPairs; ++pair) {
            float b[4];
            load_weights(b, stage + (tap + r) * Config::kWeightTap, k, pair);
#pragma unroll
            for (int m = 0; m < kRows; ++m) {
              mma<typename Config::Element>(sums[m][pair * 2], a[m + r], b[0], b[1]);
              mma<typename Config::Element>(sums[m][pair * 2 + 1], a[m + r], b[2], b[3]);
            }
          }
      }
    }
  }

  // Column n of tile u of a pair is output channel 2 n + u, so that a thread holds four channels in a row, 4 t ... 4 t + 3.
  __device__ void store() const {
    const int lane = threadIdx.x % 32, t = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = lane / 4 + half * 8, j = tile_j + column_of(at), n = image + image_of(at);
      if (j >= c.grid_w || n >= p.images) continue;
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        const int i = tile_i + first_row() + m;
        if (i >= c.grid_h) break;
        const std::int64_t pixel = (std::int64_t{n} * p.out_h + i * p.out_step_h + c.a) * p.out_w + j * p.out_step_w + c.b;
        auto* to = static_cast<typename Config::Element*>(p.out) + pixel * p.out_c;
#pragma unroll
        for (int pair = 0; pair < kPairs; ++pair) {
          const int o = channel + (warp_n() * kPairs + pair) * 16 + t * 4;
          const auto& low = sums[m][pair * 2];
          const auto& high = sums[m][pair * 2 + 1];
          const float values[4] = {low[half * 2], high[half * 2], low[half * 2 + 1], high[half * 2 + 1]};
          write_channels(p, to, o, values);
        }
      }
    }
  }
  const TilePlan& p;
  const TileClass& c;
  int* source;
  float *input, *weights;
  int tile_i, tile_j, image, channel;
  std::uint32_t input_lane, weight_lane;
  float sums[kRows][kPairs * 2][4];
};

template <class Config>
__global__ void __launch_bounds__(Config::kThreads) conv_tile_kernel(const __grid_constant__ TilePlan plan) {
  extern __shared__ __align__(16) float shared[];
  TileBlock<Config>(plan, shared).run();
}

}  // namespace heft::cuda
