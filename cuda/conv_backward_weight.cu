// The weight's gradient on tensor cores: (out channels) x (taps, in channels), summed over pixels. As in conv_tile.cuh a tile
// of the input is fetched once for all taps. Where taps lie below one another, a row of the input meets three rows of dy that
// stay in registers.
#include "cuda/conv_strips.cuh"
#include "cuda/conv_sum.cuh"
#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

constexpr int kInChannels = 16, kXPitch = kInChannels + 8;  // floats; lanes 8 banks apart

// kOutTiles warps of 16 output channels by kStrips warps along pixels; kTaps taps at a time.
template <int kOutTilesT, int kStripsT, int kRowsT, int kTapsT, bool kColumnT>
struct WeightConfig {
  static constexpr int kOutTiles = kOutTilesT, kStrips = kStripsT, kRows = kRowsT, kTaps = kTapsT;
  static constexpr bool kColumn = kColumnT;
  static constexpr int kThreads = 32 * kOutTiles * kStrips, kOut = 16 * kOutTiles, kDyPitch = kOut + 8;
  static constexpr int kDyPixels = kStrips * kRows * 8, kSums = kTaps * 8;

  static std::size_t stage_floats(const StripPlan& p) {
    return std::size_t{1} * kDyPixels * kDyPitch + std::size_t{1} * p.tile_pixels * kXPitch;
  }
  static std::size_t shared_bytes(const StripPlan& p, int stages) {
    const std::size_t places = (static_cast<std::size_t>(p.tile_pixels) + kDyPixels + 3) / 4 * 4;
    const std::size_t adding = std::max<std::size_t>(kStrips / 2 * kOutTiles * 32 * kSums, kThreads * 4);
    return sizeof(float) * (places + std::max(stages * stage_floats(p), adding));
  }
};

template <class Config>
__global__ void __launch_bounds__(Config::kThreads) conv_weight_kernel(const __grid_constant__ StripPlan p, int stages) {
  constexpr int kThreads = Config::kThreads, kOut = Config::kOut, kRows = Config::kRows, kTaps = Config::kTaps;
  constexpr int kDyVectors = kOut / 4, kXVectors = kInChannels / 4;
  extern __shared__ __align__(16) float shared[];
  int* places = reinterpret_cast<int*>(shared);
  float* buffers = shared + (p.tile_pixels + Config::kDyPixels + 3) / 4 * 4;
  const int stage_floats = Config::kDyPixels * Config::kDyPitch + p.tile_pixels * kXPitch;
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int strip = warp / Config::kOutTiles, part = warp % Config::kOutTiles;
  const int tap_groups = (p.taps + kTaps - 1) / kTaps;
  const int first_tap = static_cast<int>(blockIdx.y) % tap_groups * kTaps, taps = min(kTaps, p.taps - first_tap);
  const int in0 = static_cast<int>(blockIdx.y) / tap_groups * kInChannels, out0 = static_cast<int>(blockIdx.z) * kOut;
  const StripShare share(p, static_cast<int>(blockIdx.x));

  for (int k = thread; k < Config::kDyPixels; k += kThreads) places[k] = p.dy_place(k);
  for (int k = thread; k < p.tile_pixels; k += kThreads) places[Config::kDyPixels + k] = p.x_place(k);
  __syncthreads();

  const auto fetch = [&](int tile) {
    float* dy = buffers + (tile - share.first) % stages * stage_floats;
    float* x = dy + Config::kDyPixels * Config::kDyPitch;
    const StripTile at(p, tile);
    for (int k = thread; k < Config::kDyPixels * kDyVectors; k += kThreads) {
      const int o = out0 + k % kDyVectors * 4, pixel = at.dy_pixel(p, places[k / kDyVectors]);
      const bool inside = pixel >= 0 && o < p.out_c;
      copy_async_16(dy + k / kDyVectors * Config::kDyPitch + k % kDyVectors * 4,
                    inside ? p.dy + std::int64_t{pixel} * p.out_c + o : p.dy, inside);
    }
    for (int k = thread; k < p.tile_pixels * kXVectors; k += kThreads) {
      const int c = in0 + k % kXVectors * 4, pixel = at.x_pixel(p, places[Config::kDyPixels + k / kXVectors]);
      const bool inside = pixel >= 0 && c < p.in_c;
      copy_async_16(x + k / kXVectors * kXPitch + k % kXVectors * 4, inside ? p.x + std::int64_t{pixel} * p.in_c + c : p.x,
                    inside);
    }
  };
  // Each thread rounds what it has copied itself. It always meets the same four channels of dy: their sums, of unrounded
  // values, are its share of the bias' gradient.
  float4 bias = make_float4(0, 0, 0, 0);
  const auto round = [&](int tile) {
    float* dy = buffers + (tile - share.first) % stages * stage_floats;
    float* x = dy + Config::kDyPixels * Config::kDyPitch;
    for (int k = thread; k < Config::kDyPixels * kDyVectors; k += kThreads) {
      float4* vector = reinterpret_cast<float4*>(dy + k / kDyVectors * Config::kDyPitch + k % kDyVectors * 4);
      const float4 v = *vector;
      bias.x += v.x, bias.y += v.y, bias.z += v.z, bias.w += v.w;
      *vector = round_tf32(v);
    }
    for (int k = thread; k < p.tile_pixels * kXVectors; k += kThreads) {
      float4* vector = reinterpret_cast<float4*>(x + k / kXVectors * kXPitch + k % kXVectors * 4);
      *vector = round_tf32(*vector);
    }
  };

  // Row g of a 16 x 8 tile of dy is channel 2 g, row g + 8 is 2 g + 1; column n of in-channel tile u is channel 2 n + u. So
  // both are loaded in pairs, and a thread ends with four input channels in a row.
  const int g = lane / 4, t = lane % 4;
  const int dy_lane = (strip * kRows * 8 + t) * Config::kDyPitch + part * 16 + g * 2;
  const int x_lane_low = p.x_lane(strip, t) * kXPitch + g * 2, x_lane_high = p.x_lane(strip, t + 4) * kXPitch + g * 2;
  const int x_row = p.step_h * p.row_pitch * kXPitch;
  float sums[kTaps][2][4] = {};

  const auto load_dy = [&](float(&a)[4], const float* dy, int row) {
    const float2 low = *reinterpret_cast<const float2*>(dy + dy_lane + row * 8 * Config::kDyPitch);
    const float2 high = *reinterpret_cast<const float2*>(dy + dy_lane + (row * 8 + 4) * Config::kDyPitch);
    a[0] = low.x, a[1] = low.y, a[2] = high.x, a[3] = high.y;
  };
  const auto add = [&](float(&tap)[2][4], const float(&a)[4], const float2& low, const float2& high) {
    mma_tf32(tap[0], a, low.x, high.x);
    mma_tf32(tap[1], a, low.y, high.y);
  };

  if (stages > 1 && share.first < share.last) fetch(share.first);
  commit_copies();
  for (int tile = share.first; tile < share.last; ++tile) {
    if (stages == 1) {
      __syncthreads();
      fetch(tile);
      commit_copies();
    }
    wait_copies<0>();
    round(tile);
    __syncthreads();
    if (stages > 1 && tile + 1 < share.last) {
      fetch(tile + 1);
      commit_copies();
    }
    const float* dy = buffers + (tile - share.first) % stages * stage_floats;
    const float* x = dy + Config::kDyPixels * Config::kDyPitch;
    if constexpr (Config::kColumn) {
      float a[3][4];
#pragma unroll
      for (int row = 0; row < kRows + 2; ++row) {
        if (row < kRows) load_dy(a[row % 3], dy, row);
#pragma unroll
        for (int s = 0; s < kTaps / 3; ++s) {
          const float* from = x + row * x_row + p.offsets[first_tap + s * 3] * kXPitch;
          const float2 low = *reinterpret_cast<const float2*>(from + x_lane_low);
          const float2 high = *reinterpret_cast<const float2*>(from + x_lane_high);
#pragma unroll
          for (int r = 0; r < 3; ++r)
            if (row - r >= 0 && row - r < kRows) add(sums[s * 3 + r], a[(row - r) % 3], low, high);
        }
      }
    } else {
#pragma unroll 2
      for (int row = 0; row < kRows; ++row) {
        float a[4];
        load_dy(a, dy, row);
#pragma unroll
        for (int tap = 0; tap < kTaps; ++tap) {
          if (tap >= taps) break;
          const float* from = x + row * x_row + p.offsets[first_tap + tap] * kXPitch;
          const float2 low = *reinterpret_cast<const float2*>(from + x_lane_low);
          const float2 high = *reinterpret_cast<const float2*>(from + x_lane_high);
          add(sums[tap], a, low, high);
        }
      }
    }
  }

  float* partials = p.partials + blockIdx.x * p.partial_size();
  if (p.bias && blockIdx.y == 0) {
    __syncthreads();
    reinterpret_cast<float4*>(buffers)[thread] = bias;
    __syncthreads();
    if (thread < kOut && out0 + thread < p.out_c) {
      float sum = 0;
      for (int from = thread / 4; from < kThreads; from += kDyVectors) sum += buffers[from * 4 + thread % 4];
      partials[p.weight_count() + out0 + thread] = sum;
    }
  }
  add_strips<Config::kStrips, Config::kOutTiles, Config::kSums>(&sums[0][0][0], strip, part, buffers);
  if (strip > 0) return;
  const int c = in0 + t * 4;
  if (c >= p.in_c) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int o = out0 + part * 16 + g * 2 + half;
    if (o >= p.out_c) break;
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) {
      if (tap >= taps) break;
      const float4 v =
          make_float4(sums[tap][0][half * 2], sums[tap][1][half * 2], sums[tap][0][half * 2 + 1], sums[tap][1][half * 2 + 1]);
      *reinterpret_cast<float4*>(partials + (std::int64_t{o} * p.taps + p.weights[first_tap + tap]) * p.in_c + c) = v;
    }
  }
}

// How the gradient is computed: a plan and the launch that goes with it.
struct WeightRun {
  StripPlan plan{};
  void (*launch)(const WeightRun&, cudaStream_t) = nullptr;
  std::size_t shared = 0;
  int stages = 0;
  dim3 grid;
};

template <class Config>
void launch_weight(const WeightRun& run, cudaStream_t stream) {
  static const bool raised = [] {
    HEFT_CUDA(cudaFuncSetAttribute(conv_weight_kernel<Config>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(kSharedLimit)));
    return true;
  }();
  static_cast<void>(raised);
  conv_weight_kernel<Config><<<run.grid, Config::kThreads, run.shared, stream>>>(run.plan, run.stages);
}

template <class Config>
WeightRun fit_weight(const TileProblem& problem, const ConvDevice& device) {
  const TilePlan& f = problem.plan;
  const int in_tiles = ceil_div(f.in_c, kInChannels), out_tiles = ceil_div(f.out_c, Config::kOut);
  const int tap_groups = ceil_div(f.weight_taps, Config::kTaps);
  WeightRun run;
  run.plan =
      cut_into_strips(problem, Config::kStrips, Config::kRows, in_tiles * tap_groups * out_tiles, 2 * device.multiprocessors);
  run.grid = dim3(static_cast<unsigned>(run.plan.splits), static_cast<unsigned>(in_tiles * tap_groups),
                  static_cast<unsigned>(out_tiles));
  for (run.stages = 2; run.stages > 0; --run.stages) {
    run.shared = Config::shared_bytes(run.plan, run.stages);
    if (run.shared <= kSharedLimit) break;
  }
  if (run.stages > 0) run.launch = launch_weight<Config>;
  return run;
}

template <int kRows, int kTaps, bool kColumn>
WeightRun fit_out(const TileProblem& problem, const ConvDevice& device) {
  if (problem.plan.out_c <= 16) return fit_weight<WeightConfig<1, 4, kRows, kTaps, kColumn>>(problem, device);
  if (problem.plan.out_c <= 32) return fit_weight<WeightConfig<2, 4, kRows, kTaps, kColumn>>(problem, device);
  return fit_weight<WeightConfig<4, 2, kRows, kTaps, kColumn>>(problem, device);
}
template <int kRows>
WeightRun fit_taps(const TileProblem& problem, const ConvDevice& device) {
  if (problem.column && problem.plan.weight_taps == 9) return fit_out<kRows, 9, true>(problem, device);
  return problem.plan.weight_taps == 1 ? fit_out<kRows, 1, false>(problem, device) : fit_out<kRows, 9, false>(problem, device);
}

WeightRun find_run(const ConvShape& s, const ConvDevice& device) {
  TileProblem problem;
  if (s.groups != 1 || s.c % 4 != 0 || s.o % 4 != 0 || !describe_forward(s, problem)) return {};
  return s.oh <= 4 ? fit_taps<4>(problem, device) : fit_taps<8>(problem, device);
}

}  // namespace

ConvWeightPlan conv_tile_weight_plan(const ConvShape& s, const ConvDevice& device) {
  const WeightRun run = find_run(s, device);
  if (!run.launch) return {};
  return {run.plan.splits * (s.weight_size() + s.o), run.plan.splits};
}

void conv_tile_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const float* dy,
                               const float* x, float* dweight, float* dbias, float* workspace) {
  WeightRun run = find_run(s, device);
  run.plan.dy = dy, run.plan.x = x, run.plan.partials = workspace, run.plan.bias = dbias != nullptr;
  run.launch(run, device.stream);
  conv_sum<float>(device.stream, workspace, plan.splits, s.weight_size(), dbias ? s.o : 0, dweight, dbias);
}

}  // namespace heft::cuda
