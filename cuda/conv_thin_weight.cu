// The weight's gradient on tensor cores for few input channels: (out channels) x (tap and channel together), summed over
// pixels.
#include "cuda/conv_strips.cuh"
#include "cuda/conv_sum.cuh"
#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

constexpr int kStrips = 4, kRows = 8, kDyPixels = kStrips * kRows * 8;

// kOutTiles warps of 16 output channels by kStrips warps along pixels; kColumns 8s of (tap, channel).
template <int kOutTiles, int kColumns>
__global__ void __launch_bounds__(32 * kOutTiles * kStrips) conv_thin_weight_kernel(const __grid_constant__ StripPlan p) {
  constexpr int kThreads = 32 * kOutTiles * kStrips, kOut = 16 * kOutTiles, kDyPitch = kOut + 8, kSums = kColumns * 4;
  extern __shared__ __align__(16) float shared[];
  const int x_floats = p.tile_pixels * p.in_c, depth = p.taps * p.in_c;
  int* places = reinterpret_cast<int*>(shared);
  float* dy = shared + (p.tile_pixels + kDyPixels + 3) / 4 * 4;
  float* x = dy + kDyPixels * kDyPitch;
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
  const int strip = warp / kOutTiles, part = warp % kOutTiles;
  const int column0 = static_cast<int>(blockIdx.y) * kColumns * 8, out0 = static_cast<int>(blockIdx.z) * kOut;
  const StripShare share(p, static_cast<int>(blockIdx.x));

  for (int k = thread; k < kDyPixels; k += kThreads) places[k] = p.dy_place(k);
  for (int k = thread; k < p.tile_pixels; k += kThreads) places[kDyPixels + k] = p.x_place(k);
  int offsets[kColumns];
#pragma unroll
  for (int column = 0; column < kColumns; ++column) {
    const int at = column0 + column * 8 + g;
    offsets[column] = at < depth ? p.offsets[at / p.in_c] * p.in_c + at % p.in_c : 0;
  }
  const int dy_lane = (strip * kRows * 8 + t) * kDyPitch + part * 16 + g * 2;
  const int x_low = p.x_lane(strip, t) * p.in_c, x_high = p.x_lane(strip, t + 4) * p.in_c;
  const int x_row = p.step_h * p.row_pitch * p.in_c;
  float sums[kColumns][4] = {};
  float bias = 0;  // of one channel of dy, the only one that this thread fetches

  for (int tile = share.first; tile < share.last; ++tile) {
    __syncthreads();
    const StripTile at(p, tile);
#pragma unroll 4
    for (int k = thread; k < kDyPixels * kOut; k += kThreads) {
      const int o = out0 + k % kOut, pixel = at.dy_pixel(p, places[k / kOut]);
      const float v = pixel >= 0 && o < p.out_c ? p.dy[std::int64_t{pixel} * p.out_c + o] : 0.f;
      bias += v;
      dy[k / kOut * kDyPitch + k % kOut] = round_tf32(v);
    }
#pragma unroll 4
    for (int k = thread; k < x_floats; k += kThreads) {
      const int pixel = at.x_pixel(p, places[kDyPixels + k / p.in_c]);
      x[k] = pixel >= 0 ? round_tf32(p.x[std::int64_t{pixel} * p.in_c + k % p.in_c]) : 0.f;
    }
    __syncthreads();
#pragma unroll 2
    for (int row = 0; row < kRows; ++row) {
      const float2 low = *reinterpret_cast<const float2*>(dy + dy_lane + row * 8 * kDyPitch);
      const float2 high = *reinterpret_cast<const float2*>(dy + dy_lane + (row * 8 + 4) * kDyPitch);
      const float a[4] = {low.x, low.y, high.x, high.y};
#pragma unroll
      for (int column = 0; column < kColumns; ++column)
        mma_tf32(sums[column], a, x[x_low + row * x_row + offsets[column]], x[x_high + row * x_row + offsets[column]]);
    }
  }

  float* partials = p.partials + blockIdx.x * p.partial_size();
  if (p.bias && blockIdx.y == 0) {
    __syncthreads();
    dy[thread] = bias;
    __syncthreads();
    if (thread < kOut && out0 + thread < p.out_c) {
      float sum = 0;
      for (int from = thread; from < kThreads; from += kOut) sum += dy[from];
      partials[p.weight_count() + out0 + thread] = sum;
    }
  }
  add_strips<kStrips, kOutTiles, kSums>(&sums[0][0], strip, part, dy);
  if (strip > 0) return;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const int o = out0 + part * 16 + g * 2 + e / 2;
    if (o >= p.out_c) break;
#pragma unroll
    for (int column = 0; column < kColumns; ++column) {
      const int at = column0 + column * 8 + t * 2 + e % 2;
      if (at < depth) partials[std::int64_t{o} * depth + at] = sums[column][e];
    }
  }
}

struct ThinRun {
  StripPlan plan{};
  void (*launch)(const ThinRun&, cudaStream_t) = nullptr;
  std::size_t shared = 0;
  dim3 grid;
};

template <int kOutTiles, int kColumns>
void launch_thin(const ThinRun& run, cudaStream_t stream) {
  static const bool raised = [] {
    HEFT_CUDA(cudaFuncSetAttribute(conv_thin_weight_kernel<kOutTiles, kColumns>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(kSharedLimit)));
    return true;
  }();
  static_cast<void>(raised);
  conv_thin_weight_kernel<kOutTiles, kColumns><<<run.grid, 32 * kOutTiles * kStrips, run.shared, stream>>>(run.plan);
}

template <int kOutTiles, int kColumns>
ThinRun fit_thin(const TileProblem& problem, const ConvDevice& device) {
  constexpr int kOut = 16 * kOutTiles, kThreads = 32 * kOutTiles * kStrips;
  const TilePlan& f = problem.plan;
  const int columns = ceil_div(f.weight_taps * f.in_c, kColumns * 8), out_tiles = ceil_div(f.out_c, kOut);
  ThinRun run;
  run.plan = cut_into_strips(problem, kStrips, kRows, columns * out_tiles, 4 * device.multiprocessors);
  run.grid = dim3(static_cast<unsigned>(run.plan.splits), static_cast<unsigned>(columns), static_cast<unsigned>(out_tiles));
  const std::size_t places = (static_cast<std::size_t>(run.plan.tile_pixels) + kDyPixels + 3) / 4 * 4;
  const std::size_t buffers = std::size_t{kDyPixels} * (kOut + 8) + std::size_t{1} * run.plan.tile_pixels * f.in_c;
  const std::size_t adding = std::max<std::size_t>(kStrips / 2 * kOutTiles * 32 * kColumns * 4, kThreads);
  run.shared = sizeof(float) * (places + std::max(buffers, adding));
  if (run.shared <= kSharedLimit) run.launch = launch_thin<kOutTiles, kColumns>;
  return run;
}

template <int kOutTiles>
ThinRun fit_columns(const TileProblem& problem, const ConvDevice& device) {
  const int depth = problem.plan.weight_taps * problem.plan.in_c;
  return depth <= 32 ? fit_thin<kOutTiles, 4>(problem, device) : fit_thin<kOutTiles, 20>(problem, device);
}

ThinRun find_run(const ConvShape& s, const ConvDevice& device) {
  TileProblem problem;
  if (s.groups != 1 || s.taps() * s.c > 512 || !describe_forward(s, problem)) return {};
  std::sort(problem.taps.begin(), problem.taps.end(), [](const auto& a, const auto& b) { return a.weight < b.weight; });
  return s.o <= 16 ? fit_columns<1>(problem, device) : fit_columns<2>(problem, device);
}

}  // namespace

ConvWeightPlan conv_thin_weight_plan(const ConvShape& s, const ConvDevice& device) {
  const ThinRun run = find_run(s, device);
  if (!run.launch) return {};
  return {run.plan.splits * (s.weight_size() + s.o), run.plan.splits};
}

void conv_thin_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const float* dy,
                               const float* x, float* dweight, float* dbias, float* workspace) {
  ThinRun run = find_run(s, device);
  run.plan.dy = dy, run.plan.x = x, run.plan.partials = workspace, run.plan.bias = dbias != nullptr;
  run.launch(run, device.stream);
  conv_sum<float>(device.stream, workspace, plan.splits, s.weight_size(), dbias ? s.o : 0, dweight, dbias);
}

}  // namespace heft::cuda
