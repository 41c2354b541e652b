// The weight's gradient on tensor cores for few input channels: (out channels) x (tap and channel together), summed over
// pixels.
#include "cuda/conv_strips.cuh"
#include "cuda/conv_sum.cuh"
#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

constexpr int kStrips = 4, kRows = 8;

// kColumns 8s of (tap, channel) a block.
template <int kOutTiles, int kColumns>
__global__ void __launch_bounds__(32 * kOutTiles * kStrips) conv_thin_weight_kernel(const __grid_constant__ StripPlan p) {
  using Block = StripBlock<float, kOutTiles, kStrips, kRows>;
  extern __shared__ __align__(16) float shared[];
  Block block(p, shared);
  float* buffers = shared + Block::place_floats(p.tile_pixels);
  const int x_floats = p.tile_pixels * p.in_c, stage_floats = Block::kDyFloats + (x_floats + 3) / 4 * 4,
            depth = p.taps * p.in_c;
  const int column0 = static_cast<int>(blockIdx.y) * kColumns * 8;
  const StripShare share(p, static_cast<int>(blockIdx.x));

  block.find_places();
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, dy_lane = Block::dy_lane();
  int offsets[kColumns];
#pragma unroll
  for (int column = 0; column < kColumns; ++column) {
    const int at = column0 + column * 8 + g, tap = p.by_in_c.quotient(at);
    offsets[column] = at < depth ? p.offsets[tap] * p.in_c + p.by_in_c.rest(at, tap) : 0;
  }
  __syncthreads();

  StripTile next(p, share.first);
  const auto fetch = [&](float* stage) {
    block.fetch_dy(next, stage);
    const TileLimits limits = next.x_limits(p);
    const float* from = static_cast<const float*>(p.x) + next.x_pixel(p) * p.in_c;
    float* x = stage + Block::kDyFloats;
#pragma unroll 4
    for (int k = threadIdx.x; k < x_floats; k += Block::kThreads) {
      const int pixel = p.by_in_c.quotient(k);
      const TilePlace at = block.x_places()[pixel];
      copy_async_4(x + k, from + at.offset + p.by_in_c.rest(k, pixel), limits.hold(at.packed));
    }
    next.advance(p);
    commit_copies();
  };
  const int x_low = p.x_lane(Block::strip(), t) * p.in_c, x_high = p.x_lane(Block::strip(), t + 4) * p.in_c;
  const int x_row = p.step_h * p.row_pitch * p.in_c;
  float sums[kColumns][4] = {};
  float* stage = buffers;
  if (share.first < share.last) fetch(stage);
  for (int tile = share.first; tile < share.last; ++tile) {
    wait_copies<0>();
    if (p.bias && blockIdx.y == 0) block.add_bias(stage);
    __syncthreads();
    float* other = stage == buffers ? buffers + stage_floats : buffers;
    if (tile + 1 < share.last) fetch(other);
    const float *dy = stage + dy_lane, *low = stage + Block::kDyFloats + x_low, *high = stage + Block::kDyFloats + x_high;
#pragma unroll 2
    for (int row = 0; row < kRows; ++row) {
      float a[4];
      block.load_dy(a, dy, row);
#pragma unroll
      for (int column = 0; column < kColumns; ++column)
        mma_tf32(sums[column], a, round_tf32(low[row * x_row + offsets[column]]),
                 round_tf32(high[row * x_row + offsets[column]]));
    }
    stage = other;
  }

  float* partials = p.partials + blockIdx.x * p.partial_size();
  if (p.bias && blockIdx.y == 0) block.store_bias(p.bias + blockIdx.x * p.partial_size(), buffers);
  Block::template add_strips<kColumns * 4>(&sums[0][0], buffers);
  if (Block::strip() > 0) return;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const int o = block.out0 + Block::part() * 16 + g * 2 + e / 2;
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
                                   static_cast<int>(shared_limit())));
    return true;
  }();
  static_cast<void>(raised);
  launch(conv_thin_weight_kernel<kOutTiles, kColumns>, run.grid, dim3(32 * kOutTiles * kStrips), run.shared, stream, run.plan);
}

template <int kOutTiles, int kColumns>
ThinRun fit_thin(const TileProblem& problem, const ConvDevice& device) {
  using Block = StripBlock<float, kOutTiles, kStrips, kRows>;
  const TilePlan& f = problem.plan;
  const int columns = ceil_div(f.weight_taps * f.in_c, kColumns * 8), out_tiles = ceil_div(f.out_c, Block::kOut);
  ThinRun run;
  run.plan = cut_into_strips(problem, kStrips, kRows, columns * out_tiles, 4 * device.multiprocessors);
  run.grid = dim3(static_cast<unsigned>(run.plan.splits), static_cast<unsigned>(columns), static_cast<unsigned>(out_tiles));
  const std::size_t x_floats = static_cast<std::size_t>((run.plan.tile_pixels * f.in_c + 3) / 4 * 4);
  run.shared = sizeof(float) * (Block::place_floats(run.plan.tile_pixels) +
                                std::max(2 * (Block::kDyFloats + x_floats), Block::adding_floats(kColumns * 4)));
  if (run.shared <= shared_limit()) run.launch = launch_thin<kOutTiles, kColumns>;
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
  run.plan.set_operands(dy, x, dweight, dbias, workspace);
  run.launch(run, device.stream);
  if (plan.splits > 1) conv_sum<float>(device.stream, workspace, plan.splits, s.weight_size(), dbias ? s.o : 0, dweight, dbias);
}

}  // namespace heft::cuda
