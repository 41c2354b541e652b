// Forward convolution on tensor cores for few input channels, as of a first layer: the reduction runs over (tap, channel)
// together, in the order in which the weight holds them, and is gathered from a tile of the input in shared memory.
#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

constexpr int kMaxDepth = 256, kWarps = 4, kThreads = 32 * kWarps;

// kRows: output rows of a warp; kPairs: 16s of output channels of a block. T: float or bf16, which the output is kept in.
template <class T, int kRows, int kPairs>
__global__ void __launch_bounds__(kThreads)
    conv_thin_kernel(const __grid_constant__ TilePlan p, const FastDivide by_in_c, const FastDivide by_padded) {
  constexpr int kChannels = 16 * kPairs;
  extern __shared__ __align__(16) float shared[];
  const TileClass& c = p.classes[0];
  const int depth = p.weight_taps * p.in_c, padded = (depth + 7) / 8 * 8, pitch = padded + 4;
  int* offsets = reinterpret_cast<int*>(shared);
  float* weights = shared + padded;
  float* input = weights + kChannels * pitch;
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
  const int tile_row = p.by_tiles_w.quotient(static_cast<int>(blockIdx.x));
  const int tile_j = p.by_tiles_w.rest(static_cast<int>(blockIdx.x), tile_row) * p.columns_per_tile(),
            tile_i = tile_row * p.rows;
  const int image = static_cast<int>(blockIdx.y) * p.images_per_tile(), channel = static_cast<int>(blockIdx.z) * kChannels;

  for (int k = thread; k < padded; k += kThreads)
    offsets[k] = k < depth ? p.taps[by_in_c.quotient(k)].offset * p.in_c + by_in_c.rest(k, by_in_c.quotient(k)) : 0;
  // Rows in the order of conv_tile.cuh: a thread ends with four output channels in a row.
  for (int k = thread; k < kChannels * padded; k += kThreads) {
    const int row = by_padded.quotient(k), at = by_padded.rest(k, row), o = channel + row / 16 * 16 + row % 8 * 2 + row / 8 % 2;
    weights[row * pitch + at] = at < depth && o < p.out_c ? round_tf32(p.weight[std::int64_t{o} * depth + at]) : 0.f;
  }
  const int origin_h = c.origin_h + tile_i * p.step_h * p.load_h, origin_w = c.origin_w + tile_j * p.step_w * p.load_w;
#pragma unroll 4
  for (int k = thread; k < p.tile_pixels * p.in_c; k += kThreads) {
    const int pixel = by_in_c.quotient(k), row = p.by_row_pitch.quotient(pixel), within = p.by_row_pitch.rest(pixel, row);
    const int phase = p.by_phase_cols.quotient(within), tile_n = p.by_tile_h.quotient(row), n = image + tile_n;
    const int y = origin_h + p.by_tile_h.rest(row, tile_n) * p.load_h;
    const int x = origin_w + (p.by_phase_cols.rest(within, phase) * p.step_w + phase) * p.load_w;
    const bool inside = n < p.images && y >= 0 && y < p.in_h && x >= 0 && x < p.in_w;
    input[k] = inside ? round_tf32(p.in[((std::int64_t{n} * p.in_h + y) * p.in_w + x) * p.in_c + by_in_c.rest(k, pixel)]) : 0.f;
  }
  __syncthreads();

  const int lane_group = warp * kRows / p.rows, first_row = warp * kRows % p.rows;
  const auto column_of = [&](int at) { return (lane_group % p.groups_w << p.log_lanes) + (at & ((1 << p.log_lanes) - 1)); };
  const auto image_of = [&](int at) { return lane_group / p.groups_w * (16 >> p.log_lanes) + (at >> p.log_lanes); };
  const auto place = [&](int at) {
    return ((image_of(at) * p.tile_h + first_row * p.step_h) * p.row_pitch + column_of(at)) * p.in_c;
  };
  const float *low = input + place(g), *high = input + place(g + 8);
  const int row_floats = p.step_h * p.row_pitch * p.in_c;
  float sums[kRows][kPairs * 2][4] = {};
#pragma unroll 2
  for (int k = 0; k < padded; k += 8) {
    const int near = offsets[k + t], far = offsets[k + t + 4];
    float a[kRows][4];
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
      a[m][0] = low[m * row_floats + near], a[m][1] = high[m * row_floats + near];
      a[m][2] = low[m * row_floats + far], a[m][3] = high[m * row_floats + far];
    }
#pragma unroll
    for (int tile_o = 0; tile_o < kPairs * 2; ++tile_o) {
      const float* b = weights + (tile_o * 8 + g) * pitch + k + t;
      const float b0 = b[0], b1 = b[4];
#pragma unroll
      for (int m = 0; m < kRows; ++m) mma_tf32(sums[m][tile_o], a[m], b0, b1);
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int at = g + half * 8, j = tile_j + column_of(at), n = image + image_of(at);
    if (j >= c.grid_w || n >= p.images) continue;
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
      const int i = tile_i + first_row + m;
      if (i >= c.grid_h) break;
      T* to = static_cast<T*>(p.out) + ((std::int64_t{n} * p.out_h + i) * p.out_w + j) * p.out_c;
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        const auto& even = sums[m][pair * 2];
        const auto& odd = sums[m][pair * 2 + 1];
        const float values[4] = {even[half * 2], odd[half * 2], even[half * 2 + 1], odd[half * 2 + 1]};
        write_channels(p, to, channel + pair * 16 + t * 4, values);
      }
    }
  }
}

template <class T, int kRows, int kPairs>
bool launch_thin(TileProblem problem, cudaStream_t stream) {
  cut_into_tiles(problem, kWarps * kRows, kRows);
  const TilePlan& p = problem.plan;
  const int padded = (p.weight_taps * p.in_c + 7) / 8 * 8;
  const std::size_t shared =
      sizeof(float) * (padded + std::size_t{16} * kPairs * (padded + 4) + std::size_t{1} * p.tile_pixels * p.in_c);
  if (shared > shared_limit() || image_tiles(p) >= 65536) return false;
  static const bool raised = [] {
    HEFT_CUDA(cudaFuncSetAttribute(conv_thin_kernel<T, kRows, kPairs>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_limit())));
    return true;
  }();
  static_cast<void>(raised);
  const dim3 grid(static_cast<unsigned>(p.tiles_h * p.tiles_w), static_cast<unsigned>(image_tiles(p)),
                  static_cast<unsigned>(ceil_div(p.out_c, 16 * kPairs)));
  launch(conv_thin_kernel<T, kRows, kPairs>, grid, dim3(kThreads), shared, stream, p, FastDivide(p.in_c), FastDivide(padded));
  return true;
}

}  // namespace

template <class T>
bool conv_thin_forward(const ConvShape& s, const ConvDevice& device, const float* x, const float* weight, const float* bias,
                       T* y) {
  TileProblem problem;
  if (s.groups != 1 || s.taps() * s.c > kMaxDepth || !describe_forward(s, problem)) return false;
  // The order of the weight, where the tile kernel goes down columns.
  std::sort(problem.taps.begin(), problem.taps.end(), [](const auto& a, const auto& b) { return a.weight < b.weight; });
  problem.plan.in = x, problem.plan.weight = weight, problem.plan.bias = bias, problem.plan.out = y;
  if (s.o <= 16) return launch_thin<T, 4, 1>(problem, device.stream);
  if (s.o <= 32) return launch_thin<T, 4, 2>(problem, device.stream);
  return launch_thin<T, 2, 4>(problem, device.stream);
}

template bool conv_thin_forward<float>(const ConvShape&, const ConvDevice&, const float*, const float*, const float*, float*);
template bool conv_thin_forward<bf16>(const ConvShape&, const ConvDevice&, const float*, const float*, const float*, bf16*);

}  // namespace heft::cuda
