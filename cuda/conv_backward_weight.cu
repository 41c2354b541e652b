// The weight's gradient on tensor cores: (out channels) x (taps, in channels), summed over pixels. As in conv_tile.cuh a tile
// of the input is fetched once for all taps. Where taps lie below one another, a row of the input meets three rows of dy that
// stay in registers.
#include "cuda/conv_strips.cuh"
#include "cuda/conv_sum.cuh"
#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

constexpr int kInChannels = 16;

// kTaps taps at a time; kColumn: they come in threes, one below the other.
template <class T, int kOutTiles, int kStrips, int kRowsT, int kTapsT, bool kColumnT>
struct WeightConfig {
  using Block = StripBlock<T, kOutTiles, kStrips, kRowsT>;
  using Element = T;
  static constexpr int kXPitch = kInChannels + (Block::kFloats ? 8 : 0);  // values; lanes 8 banks apart
  static constexpr int kRows = kRowsT, kTaps = kTapsT, kSums = kTaps * 8;
  static constexpr bool kColumn = kColumnT;

  __host__ __device__ static int x_floats(const StripPlan& p) { return p.tile_pixels * kXPitch * int{sizeof(T)} / 4; }
  static std::size_t shared_bytes(const StripPlan& p, int stages) {
    const std::size_t stage = Block::kDyFloats + x_floats(p);
    return sizeof(float) * (Block::place_floats(p.tile_pixels) + std::max(stages * stage, Block::adding_floats(kSums)));
  }
};

template <class Config>
__global__ void __launch_bounds__(Config::Block::kThreads, 512 / Config::Block::kThreads)
    conv_weight_kernel(const __grid_constant__ StripPlan p, int stages) {
  using Block = typename Config::Block;
  using T = typename Config::Element;
  constexpr int kRows = Config::kRows, kTaps = Config::kTaps, kXPitch = Config::kXPitch,
                kXVectors = kInChannels / Block::kVector;
  constexpr int kPassPixels = Block::kThreads / kXVectors;
  extern __shared__ __align__(16) float shared[];
  Block block(p, shared);
  float* buffers = shared + Block::place_floats(p.tile_pixels);
  const int stage_floats = Block::kDyFloats + Config::x_floats(p);
  const int tap_groups = (p.taps + kTaps - 1) / kTaps;
  const int first_tap = static_cast<int>(blockIdx.y) % tap_groups * kTaps, taps = min(kTaps, p.taps - first_tap);
  const int in0 = static_cast<int>(blockIdx.y) / tap_groups * kInChannels;
  const StripShare share(p, static_cast<int>(blockIdx.x));

  block.find_places();
  __syncthreads();

  // Of floats, pixels 2 apart go together: 8 threads, of 4 vectors each, meet all banks.
  const int x_vector = threadIdx.x % kXVectors * Block::kVector, x_order = threadIdx.x / kXVectors;
  const int x_pixel0 = Block::kFloats ? (x_order & ~3) | (x_order & 1) << 1 | (x_order & 2) >> 1 : x_order;
  StripTile next(p, share.first);
  const auto fetch = [&](float* stage) {
    block.fetch_dy(next, reinterpret_cast<T*>(stage));
    const TileLimits limits = next.x_limits(p);
    const bool inside = in0 + x_vector < p.in_c;
    const T* from = static_cast<const T*>(p.x) + next.x_pixel(p) * p.in_c + in0 + x_vector;
    T* to = reinterpret_cast<T*>(stage + Block::kDyFloats) + x_pixel0 * kXPitch + x_vector;
#pragma unroll 4
    for (int pixel = x_pixel0; pixel < p.tile_pixels; pixel += kPassPixels) {
      const TilePlace at = block.x_places()[pixel];
      copy_async_16(to, from + at.offset, inside && limits.hold(at.packed));
      to += kPassPixels * kXPitch;
    }
    next.advance(p);
    commit_copies();
  };
  // Column n of in-channel tile u is channel 2 n + u: both tiles are loaded together, and a thread ends with four input
  // channels in a row.
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, dy_lane = Block::dy_lane();
  const int x_low = p.x_lane(Block::strip(), t) * kXPitch + g * 2, x_high = p.x_lane(Block::strip(), t + 4) * kXPitch + g * 2;
  const int x_row = p.step_h * p.row_pitch * kXPitch;
  const int apart =
      Block::kFloats ? 0 : (p.x_lane(Block::strip() + Block::kStripCount / 2, 0) - p.x_lane(Block::strip(), 0)) * kXPitch;
  float sums[kTaps][2][4] = {};
  const auto add = [&](float(&tap)[2][4], const float(&a)[4], const float2& low, const float2& high) {
    mma<T>(tap[0], a, low.x, high.x);
    mma<T>(tap[1], a, low.y, high.y);
  };

  float* stage = buffers;
  if (share.first < share.last) fetch(stage);
  for (int tile = share.first; tile < share.last; ++tile) {
    wait_copies<0>();
    if (p.bias && blockIdx.y == 0) block.add_bias(reinterpret_cast<const T*>(stage));
    __syncthreads();
    float* other = stages == 1 ? stage : stage == buffers ? buffers + stage_floats : buffers;
    if (stages > 1 && tile + 1 < share.last) fetch(other);
    const T *dy = reinterpret_cast<const T*>(stage) + dy_lane, *x = reinterpret_cast<const T*>(stage + Block::kDyFloats);
    if constexpr (Config::kColumn) {
      float a[3][4];
#pragma unroll
      for (int row = 0; row < kRows + 2; ++row) {
        if (row < kRows) block.load_dy(a[row % 3], dy, row);
#pragma unroll
        for (int s = 0; s < kTaps / 3; ++s) {
          const T* from = x + row * x_row + p.offsets[first_tap + s * 3] * kXPitch;
          const float2 low = Block::two_channels(from + x_low, apart), high = Block::two_channels(from + x_high, apart);
#pragma unroll
          for (int r = 0; r < 3; ++r)
            if (row - r >= 0 && row - r < kRows) add(sums[s * 3 + r], a[(row - r) % 3], low, high);
        }
      }
    } else {
#pragma unroll 2
      for (int row = 0; row < kRows; ++row) {
        float a[4];
        block.load_dy(a, dy, row);
#pragma unroll
        for (int tap = 0; tap < kTaps; ++tap) {
          if (tap >= taps) break;
          const T* from = x + row * x_row + p.offsets[first_tap + tap] * kXPitch;
          const float2 low = Block::two_channels(from + x_low, apart), high = Block::two_channels(from + x_high, apart);
          add(sums[tap], a, low, high);
        }
      }
    }
    if (stages == 1) {
      __syncthreads();
      if (tile + 1 < share.last) fetch(stage);
    }
    stage = other;
  }

  float* partials = p.partials + blockIdx.x * p.partial_size();
  if (p.bias && blockIdx.y == 0) block.store_bias(p.bias + blockIdx.x * p.partial_size(), buffers);
  Block::template add_strips<Config::kSums>(&sums[0][0][0], buffers);
  if (Block::strip() > 0) return;
  const int c = in0 + t * 4;
  if (c >= p.in_c) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int o = block.out0 + Block::part() * 16 + g * 2 + half;
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
                                   static_cast<int>(shared_limit())));
    return true;
  }();
  static_cast<void>(raised);
  launch(conv_weight_kernel<Config>, run.grid, dim3(Config::Block::kThreads), run.shared, stream, run.plan, run.stages);
}

template <class Config>
WeightRun fit_weight(const TileProblem& problem, const ConvDevice& device) {
  const TilePlan& f = problem.plan;
  const int in_tiles = ceil_div(f.in_c, kInChannels), out_tiles = ceil_div(f.out_c, Config::Block::kOut);
  const int tap_groups = ceil_div(f.weight_taps, Config::kTaps);
  const int blocks_per_split = in_tiles * tap_groups * out_tiles;
  WeightRun run;
  run.plan = cut_into_strips(problem, Config::Block::kStripCount, Config::kRows, blocks_per_split, 1);
  for (run.stages = 2; run.stages > 0; --run.stages) {
    run.shared = Config::shared_bytes(run.plan, run.stages);
    if (run.shared <= shared_limit()) break;
  }
  // As many splits as blocks run at a time.
  const int resident = std::clamp(static_cast<int>(shared_limit() / (run.shared + 1024)), 1, 512 / Config::Block::kThreads);
  run.plan =
      cut_into_strips(problem, Config::Block::kStripCount, Config::kRows, blocks_per_split, resident * device.multiprocessors);
  run.grid = dim3(static_cast<unsigned>(run.plan.splits), static_cast<unsigned>(in_tiles * tap_groups),
                  static_cast<unsigned>(out_tiles));
  if (run.stages > 0) run.launch = launch_weight<Config>;
  return run;
}

// In bf16 a warp has two strips, and a tile as many.
template <class T, int kRows, int kTaps, bool kColumn>
WeightRun fit_out(const TileProblem& problem, const ConvDevice& device) {
  constexpr int kShare = std::is_same_v<T, float> ? 1 : 2;
  if (problem.plan.out_c <= 16) return fit_weight<WeightConfig<T, 1, 8 / kShare, kRows, kTaps, kColumn>>(problem, device);
  if (problem.plan.out_c <= 32) return fit_weight<WeightConfig<T, 2, 4 / kShare, kRows, kTaps, kColumn>>(problem, device);
  return fit_weight<WeightConfig<T, 4, 2 / kShare, kRows, kTaps, kColumn>>(problem, device);
}
template <class T, int kRows>
WeightRun fit_taps(const TileProblem& problem, const ConvDevice& device) {
  if (problem.column && problem.plan.weight_taps == 9) return fit_out<T, kRows, 9, true>(problem, device);
  return problem.plan.weight_taps == 1 ? fit_out<T, kRows, 1, false>(problem, device)
                                       : fit_out<T, kRows, 9, false>(problem, device);
}

template <class T>
WeightRun find_run(const ConvShape& s, const ConvDevice& device) {
  constexpr int kVector = 16 / sizeof(T);
  TileProblem problem;
  if (s.groups != 1 || s.c % kVector != 0 || s.o % kVector != 0 || !describe_forward(s, problem)) return {};
  // Where the input has four pixels for one of dy, a tile of eight rows leaves no room for a second block on a multiprocessor.
  return s.oh <= 4 || problem.plan.step_h > 1 ? fit_taps<T, 4>(problem, device) : fit_taps<T, 8>(problem, device);
}

}  // namespace

template <class T>
ConvWeightPlan conv_tile_weight_plan(const ConvShape& s, const ConvDevice& device) {
  const WeightRun run = find_run<T>(s, device);
  if (!run.launch) return {};
  return {run.plan.splits * (s.weight_size() + s.o), run.plan.splits};
}

template <class T>
void conv_tile_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const T* dy,
                               const T* x, float* dweight, float* dbias, float* workspace) {
  WeightRun run = find_run<T>(s, device);
  run.plan.set_operands(dy, x, dweight, dbias, workspace);
  run.launch(run, device.stream);
  if (plan.splits > 1) conv_sum<float>(device.stream, workspace, plan.splits, s.weight_size(), dbias ? s.o : 0, dweight, dbias);
}

#define HEFT_INSTANTIATE(T)                                                                                                  \
  template ConvWeightPlan conv_tile_weight_plan<T>(const ConvShape&, const ConvDevice&);                                     \
  template void conv_tile_backward_weight<T>(const ConvShape&, const ConvDevice&, const ConvWeightPlan&, const T*, const T*, \
                                             float*, float*, float*);
HEFT_INSTANTIATE(float)
HEFT_INSTANTIATE(bf16)
#undef HEFT_INSTANTIATE

}  // namespace heft::cuda
