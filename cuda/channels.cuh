// A channels-last tensor as a matrix of rows (a pixel each) by channels, cut into tiles of at most 32 channels and slices of
// rows, a block each. Neighbouring threads have neighbouring channels, V of them in one access. Internal to cuda/.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/error.h"
#include "cuda/arrive.cuh"
#include "cuda/launch.cuh"

namespace heft::cuda {

template <int V, class T>
__device__ inline Pack<T, V> load(const T* from) {
  return *reinterpret_cast<const Pack<T, V>*>(from);
}
// What was computed, as it is kept.
template <class T, int V, class C>
__device__ inline Pack<T, V> pack(const C (&values)[V]) {
  Pack<T, V> p;
#pragma unroll
  for (int j = 0; j < V; ++j) p.v[j] = static_cast<T>(values[j]);
  return p;
}
template <class T, int V>
__device__ inline void store(T* to, const Pack<T, V>& pack) {
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

// Values of T in 16 bytes, the widest access.
template <class T>
constexpr int kWidest = 16 / static_cast<int>(sizeof(T));
// And where sums are kept of each channel, for which a thread has few registers.
template <class T>
constexpr int kSummed = std::min(4, kWidest<T>);
// Rows of V channels that a thread reads before it uses any: as many as its registers hold.
constexpr int rows_read(int v) { return v > 4 ? 2 : 4; }
// Whether all of these (null: none) may be accessed that wide where `channels` values make a row.
template <class T>
bool vectorised(std::int64_t channels, std::initializer_list<const void*> tensors) {
  bool aligned = channels % kWidest<T> == 0;
  for (const void* p : tensors) aligned = aligned && reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
  return aligned;
}

constexpr int kMaxTiles = 4096;

struct Tiling {
  std::int64_t rows;
  std::int64_t slice;  // rows of a slice; the last may have fewer
  int channels;
  int width;   // threads side by side along the channels, a power of two
  int height;  // and below each other along the rows
  int slices;
  int tiles;
  dim3 grid() const { return dim3(static_cast<unsigned>(slices), static_cast<unsigned>(tiles)); }
  __host__ __device__ std::int64_t rows_of(int s) const {
    const std::int64_t left = rows - s * slice;
    return left < slice ? left : slice;
  }
};

// For an image tensor: `blocks` of `threads` at the most, or as few as leave `each` rows to a thread.
inline Tiling tiling(const char* op, const Shape& x, int vector, int threads, std::int64_t blocks, int each) {
  Tiling g{};
  g.rows = x[0] * x[2] * x[3];
  g.channels = static_cast<int>(x[1]);
  const int groups = g.channels / vector, widest = 32 / vector;
  g.width = 1;
  while (g.width < groups && g.width < widest) g.width *= 2;
  g.tiles = (groups + g.width - 1) / g.width;
  if (g.tiles > kMaxTiles)
    throw ValueError(op, "expected at most " + std::to_string(32 * kMaxTiles) + " channels; got " + std::to_string(x[1]));
  g.height = threads / g.width;
  const std::int64_t useful = (g.rows + std::int64_t{each} * g.height - 1) / (std::int64_t{each} * g.height);
  const std::int64_t slices = std::clamp<std::int64_t>(blocks / g.tiles, 1, useful);
  g.slice = (g.rows + slices - 1) / slices;
  g.slices = static_cast<int>((g.rows + g.slice - 1) / g.slice);
  return g;
}

// What a thread has of it: the rows first, first + height, ... below end, of V channels from `channel` on.
struct Place {
  int channel;
  int y;
  bool active;
  std::int64_t first, end;
};
template <int V>
__device__ inline Place place(const Tiling& g) {
  Place p;
  const int t = static_cast<int>(threadIdx.x);
  p.y = t / g.width;
  p.channel = (static_cast<int>(blockIdx.y) * g.width + t % g.width) * V;
  p.active = p.y < g.height && p.channel < g.channels;
  p.first = blockIdx.x * g.slice + p.y;
  p.end = blockIdx.x * g.slice + g.rows_of(static_cast<int>(blockIdx.x));
  if (!p.active) p.first = p.end;
  return p;
}

// The least power of two that is at least n.
__device__ inline int power_of_two(int n) { return n <= 1 ? 1 : 1 << (32 - __clz(n - 1)); }

// The sums of K values over the threads of a block that have the same channels, in the `width` first of it, added in an order
// that is always the same. `shared`: K * width numbers a warp.
template <int Threads, int K>
__device__ inline void sum_rows(const Tiling& g, double (&v)[K], double* shared) {
  constexpr int kWarps = Threads / 32;
  for (int lanes = 16; lanes >= g.width; lanes /= 2)
#pragma unroll
    for (int k = 0; k < K; ++k) v[k] += __shfl_xor_sync(0xffffffffu, v[k], lanes);
  const int t = static_cast<int>(threadIdx.x), lane = t % 32;
  if (lane < g.width)
#pragma unroll
    for (int k = 0; k < K; ++k) shared[(t / 32 * K + k) * g.width + lane] = v[k];
  __syncthreads();
  double sum = 0;  // of value t / width in column t % width
  if (t < K * g.width) {
#pragma unroll 8
    for (int warp = 0; warp < kWarps; ++warp) sum += shared[warp * K * g.width + t];
  }
  __syncthreads();
  if (t < K * g.width) shared[t] = sum;
  __syncthreads();
  if (t < g.width)
#pragma unroll
    for (int k = 0; k < K; ++k) v[k] = shared[k * g.width + t];
}

// For two values of each of a tile's channels that every slice has left behind: calls f(channel, slice) for all of them, which
// adds to a and b, and then g(channel, a, b) with the sums, in an order that is always the same. All threads of a block call
// it.
template <int Threads, class F, class G>
__device__ inline void sum_slices(const Tiling& t, int tile_channels, F f, G g) {
  __shared__ double sums[2][Threads];
  const int first = static_cast<int>(blockIdx.y) * tile_channels;
  const int count = tile_channels < t.channels - first ? tile_channels : t.channels - first;
  const int lanes = Threads / count, lane = static_cast<int>(threadIdx.x) / count;
  const int channel = first + static_cast<int>(threadIdx.x) % count;
  double a = 0, b = 0;
  if (lane < lanes) {
#pragma unroll 4
    for (int s = lane; s < t.slices; s += lanes) f(channel, s, a, b);
  }
  sums[0][threadIdx.x] = a;
  sums[1][threadIdx.x] = b;
  __syncthreads();
  for (int step = power_of_two(lanes) / 2; step > 0; step /= 2) {
    if (lane < step && lane + step < lanes) {
      sums[0][threadIdx.x] = a += sums[0][threadIdx.x + step * count];
      sums[1][threadIdx.x] = b += sums[1][threadIdx.x + step * count];
    }
    __syncthreads();
  }
  if (lane == 0) g(channel, a, b);
}

}  // namespace heft::cuda
