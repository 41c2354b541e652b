// The weight's gradient of 3x3 convolutions of stride 1 on Hopper's warpgroup products, in bf16: (out channels) x (in channels)
// for every tap, summed over pixels. Both operands have channels next to each other, which wgmma takes of 16-bit values: dy and
// x, halo included, come to shared memory as they are, and a tap is the same products from other pixels of x. Each of three
// warpgroups has one column of taps.
#include "cuda/conv_wgmma_weight.cuh"

#ifdef HEFT_HOPPER
#include "cuda/conv_wgmma.cuh"
#endif

namespace heft::cuda {

#ifdef HEFT_HOPPER
namespace {

constexpr int kStages = 6, kWarps = 12;
constexpr int kXBytes = kTile * kTile * 128, kXPitch = (kXBytes + 1023) / 1024 * 1024, kDyBytes = kPatch * kPatch * 128;
constexpr int kStageBytes = kXPitch + kDyBytes, kShared = 1024 + kStages * (kStageBytes + 16);

__global__ void __launch_bounds__(32 * (kWarps + 1), 1)
    conv_wgmma_weight_bf16_kernel(const __grid_constant__ CUtensorMap x_map, const __grid_constant__ CUtensorMap dy_map,
                                  const __grid_constant__ WgmmaWeightPlan p) {
  extern __shared__ char shared[];
  const std::uint32_t stages = (shared_address(shared) + 1023) & ~1023u;
  const std::uint32_t full = stages + kStages * kStageBytes, free = full + 8 * kStages;
  if (threadIdx.x == 0) {
    for (int k = 0; k < kStages; ++k) init_barrier(full + 8 * k, 1), init_barrier(free + 8 * k, kWarps);
    publish_barriers();
  }
  __syncthreads();
  const PatchRange range(p, static_cast<int>(blockIdx.x));
  const int in0 = static_cast<int>(blockIdx.y) % p.in_tiles * kIn, out0 = static_cast<int>(blockIdx.y) / p.in_tiles * kOut;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  RingPlace ring;
  if (warp == kWarps) {
    if (lane > 0) return;
    for (int patch = range.first; patch < range.last; ++patch) {
      const PatchPlace at(p, patch);
      const std::uint32_t stage = stages + ring.at * kStageBytes, barrier = full + 8 * ring.at;
      await(free + 8 * ring.at, ring.parity ^ 1);
      arrive_expecting(barrier, kXBytes + kDyBytes);
      copy_box(stage, x_map, barrier, in0 / 2, at.j - p.pad_w, at.i - p.pad_h, at.n);
      copy_box(stage + kXPitch, dy_map, barrier, out0 / 2, at.j, at.i, at.n);
      ring.advance(kStages);
    }
    return;
  }

  const int column = warp / 4;
  float sums[3][kIn / 2] = {};
  std::uint32_t read = 0;  // the barrier of the stage that the products under way may be the last to read
  for (int patch = range.first; patch < range.last; ++patch) {
    const std::uint32_t x = (stages + ring.at * kStageBytes) >> 4, dy = x + (kXPitch >> 4);
    await(full + 8 * ring.at, ring.parity);
    wgmma_fence();
    // Two rows of the patch are 16 pixels; in units of 16 bytes a pixel has 8.
#pragma unroll
    for (int row = 0; row < kPatch; row += 2)
#pragma unroll
      for (int r = 0; r < 3; ++r)
        wgmma_down(sums[r], wgmma_operand(dy + row * kPatch * 8, kPatch * 8),
                   wgmma_operand(x + ((row + r) * kTile + column) * 8, kTile * 8));
    wgmma_commit();
    wgmma_wait<1>();
    if (read && lane == 0) arrive(read);
    read = free + 8 * ring.at;
    ring.advance(kStages);
  }
  wgmma_wait<0>();
  settle(sums);

  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int o = out0 + warp % 4 * 16 + half * 8 + g;
    if (o >= p.out_c) continue;
    float* partials = p.partials + blockIdx.x * p.partial_size + (std::int64_t{o} * 9 + column) * p.in_c + in0;
#pragma unroll
    for (int k = 0; k < kIn / 8; ++k) {
      const int c = k * 8 + t * 2;
      if (in0 + c >= p.in_c) continue;
#pragma unroll
      for (int r = 0; r < 3; ++r)
        *reinterpret_cast<float2*>(partials + std::int64_t{r} * 3 * p.in_c + c) =
            make_float2(sums[r][k * 4 + half * 2], sums[r][k * 4 + half * 2 + 1]);
    }
  }
}

}  // namespace

ConvWeightPlan conv_wgmma_weight_bf16_plan(const ConvShape& s, const ConvDevice& device) {
  return s.c % 8 == 0 && s.o % 8 == 0 && s.c >= 48 && s.o >= 48 ? plan_patches(s, device) : ConvWeightPlan{};
}

void conv_wgmma_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const bf16* dy,
                                const bf16* x, float* dweight, float*, float* workspace) {
  static const bool raised = [] {
    HEFT_CUDA(cudaFuncSetAttribute(conv_wgmma_weight_bf16_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
    return true;
  }();
  static_cast<void>(raised);
  const WgmmaWeightPlan p = describe_patches(s, plan, dweight, nullptr, workspace);
  conv_wgmma_weight_bf16_kernel<<<patch_grid(s, plan), 32 * (kWarps + 1), kShared, device.stream>>>(
      image_map(x, false, s.n, s.h, s.w, s.c / 2, 1, kTile, kTile),
      image_map(dy, false, s.n, s.oh, s.ow, s.o / 2, 1, kPatch, kPatch), p);
  if (plan.splits > 1) conv_sum<float>(device.stream, workspace, plan.splits, s.weight_size(), 0, dweight, nullptr);
}
#else
ConvWeightPlan conv_wgmma_weight_bf16_plan(const ConvShape&, const ConvDevice&) { return {}; }
void conv_wgmma_backward_weight(const ConvShape&, const ConvDevice&, const ConvWeightPlan&, const bf16*, const bf16*, float*,
                                float*, float*) {}
#endif

}  // namespace heft::cuda
