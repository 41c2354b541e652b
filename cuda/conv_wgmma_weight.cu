// The weight's gradient of 3x3 convolutions of stride 1 on Hopper's warpgroup products: (in channels) x (out channels) for
// every tap, summed over pixels. Both operands want pixels next to each other and have channels so. dy is turned around on its
// way to shared memory, once for all taps; x comes as it is, halo included, and is read from shared memory as the operand in
// registers, where a tap is another address. Each of three warpgroups has one column of taps, and a row of x that it has read
// meets the three rows of dy that it belongs to.
#include "cuda/conv_wgmma_weight.cuh"

#ifdef HEFT_HOPPER
#include "cuda/conv_wgmma.cuh"
#endif

namespace heft::cuda {

#ifdef HEFT_HOPPER
namespace {

constexpr int kStages = 4;
constexpr int kBoxBytes = kTile * kTile * 128, kBoxPitch = (kBoxBytes + 1023) / 1024 * 1024;  // of 32 channels of x
constexpr int kHalfBytes = kOut * 128, kStageBytes = 2 * kBoxPitch + 2 * kHalfBytes;          // 4 of 8 rows of a patch of dy
constexpr int kShared = 1024 + kStages * (kStageBytes + 16) + kOut * 4;

// The last warpgroup fetches. Of k, the place in a product's reduction over 8 pixels, 0 ... 3 are the even columns of a row and
// 4 ... 7 the odd ones, so that no two lanes that read x at a time meet in a bank.
__device__ void fetch_patches(const WgmmaWeightPlan& p, const CUtensorMap& x_map, const PatchRange& range, int in0, int out0,
                              std::uint32_t stages, std::uint32_t full, std::uint32_t free, float* bias_shared) {
  const int thread = static_cast<int>(threadIdx.x) % 128, o = thread % kOut, half = thread / kOut;
  const bool o_inside = out0 + o < p.out_c;
  float bias = 0;
  RingPlace ring;
  for (int patch = range.first; patch < range.last; ++patch) {
    const PatchPlace at(p, patch);
    const float* from = p.dy + ((std::int64_t{at.n} * p.out_h + at.i + half * 4) * p.out_w + at.j) * p.out_c + out0 + o;
    float v[4][8];
#pragma unroll
    for (int row = 0; row < 4; ++row)
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const bool inside = o_inside && at.i + half * 4 + row < p.out_h && at.j + k < p.out_w;
        v[row][k] = inside ? __ldg(from + (row * p.out_w + k) * p.out_c) : 0.f;
      }
    const std::uint32_t stage = stages + ring.at * kStageBytes, barrier = full + 8 * ring.at;
    await(free + 8 * ring.at, ring.parity ^ 1);
    if (thread == 0) {
      arrive_expecting(barrier, 2 * kBoxBytes);
      copy_box(stage, x_map, barrier, in0, at.j - p.pad_w, at.i - p.pad_h, at.n);
      copy_box(stage + kBoxPitch, x_map, barrier, in0 + 32, at.j - p.pad_w, at.i - p.pad_h, at.n);
    }
    const std::uint32_t to = stage + 2 * kBoxPitch + half * kHalfBytes + o * 128;
#pragma unroll
    for (int row = 0; row < 4; ++row) {
#pragma unroll
      for (int odd = 0; odd < 2; ++odd)
        asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to + (((row * 2 + odd) ^ (o & 7)) << 4)),
                     "f"(round_tf32(v[row][odd])), "f"(round_tf32(v[row][odd + 2])), "f"(round_tf32(v[row][odd + 4])),
                     "f"(round_tf32(v[row][odd + 6]))
                     : "memory");
      bias += ((v[row][0] + v[row][1]) + (v[row][2] + v[row][3])) + ((v[row][4] + v[row][5]) + (v[row][6] + v[row][7]));
    }
    publish_operands();
    arrive(barrier);
    ring.advance(kStages);
  }
  if (!p.bias || in0 > 0) return;
  if (half == 1) bias_shared[o] = bias;
  asm volatile("bar.sync 1, 128;" ::: "memory");
  if (half == 0 && o_inside) p.bias[blockIdx.x * p.partial_size + out0 + o] = bias + bias_shared[o];
}

// Row m of a warp's 16 in channels is channel 2 m for m < 8, else 2 (m - 8) + 1: a thread reads and writes two in a row.
__device__ void add_patches(const WgmmaWeightPlan& p, const PatchRange& range, int in0, int out0, std::uint32_t stages,
                            std::uint32_t full, std::uint32_t free) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int warp = static_cast<int>(threadIdx.x) / 32 % 4, column = static_cast<int>(threadIdx.x) / 128;
  const std::uint32_t x_lane = (warp / 2) * kBoxPitch + (column + t * 2) * 128 + (warp % 2) * 64 + g * 8;
  float sums[3][kOut / 2] = {};
  RingPlace ring;
  std::uint32_t read = 0;  // the barrier of the stage that the products under way may be the last to read
  for (int patch = range.first; patch < range.last; ++patch) {
    const std::uint32_t stage = stages + ring.at * kStageBytes, dy = (stage + 2 * kBoxPitch) >> 4;
    await(full + 8 * ring.at, ring.parity);
    float a[2][4];
#pragma unroll
    for (int y = 0; y < kTile; ++y) {
#pragma unroll
      for (int odd = 0; odd < 2; ++odd) {
        const std::uint32_t v = stage + x_lane + (y * kTile + odd) * 128;
        asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
                     : "=f"(a[y % 2][odd * 2]), "=f"(a[y % 2][odd * 2 + 1])
                     : "r"(v ^ (v >> 3 & 0x70)));
      }
      wgmma_fence();
#pragma unroll
      for (int r = 0; r < 3; ++r)
        if (const int i = y - r; i >= 0 && i < kPatch)
          wgmma(sums[r], a[y % 2], wgmma_operand(dy + (i / 4) * (kHalfBytes >> 4) + (i % 4) * 2, 64));
      wgmma_commit();
      wgmma_wait<1>();
      if (y == 0 && read && lane == 0) arrive(read);
    }
    read = free + 8 * ring.at;
    ring.advance(kStages);
  }
  wgmma_wait<0>();
  settle(sums);

  const int c = in0 + warp * 16 + g * 2;
  if (c >= p.in_c) return;
  float* partials = p.partials + blockIdx.x * p.partial_size + c;
#pragma unroll
  for (int k = 0; k < kOut / 8; ++k)
#pragma unroll
    for (int odd = 0; odd < 2; ++odd) {
      const int o = out0 + k * 8 + t * 2 + odd;
      if (o >= p.out_c) continue;
#pragma unroll
      for (int r = 0; r < 3; ++r)
        *reinterpret_cast<float2*>(partials + (std::int64_t{o} * 9 + r * 3 + column) * p.in_c) =
            make_float2(sums[r][k * 4 + odd], sums[r][k * 4 + odd + 2]);
    }
}

__global__ void __launch_bounds__(512, 1)
    conv_wgmma_weight_kernel(const __grid_constant__ CUtensorMap x_map, const __grid_constant__ WgmmaWeightPlan p) {
  extern __shared__ char shared[];
  const std::uint32_t base = shared_address(shared), stages = (base + 1023) & ~1023u;
  const std::uint32_t full = stages + kStages * kStageBytes, free = full + 8 * kStages;
  if (threadIdx.x == 0) {
    for (int k = 0; k < kStages; ++k) init_barrier(full + 8 * k, 129), init_barrier(free + 8 * k, 12);
    publish_barriers();
  }
  __syncthreads();
  const PatchRange range(p, static_cast<int>(blockIdx.x));
  const int in0 = static_cast<int>(blockIdx.y) % p.in_tiles * kIn, out0 = static_cast<int>(blockIdx.y) / p.in_tiles * kOut;
  if (threadIdx.x >= 384) {
    give_registers<72>();
    fetch_patches(p, x_map, range, in0, out0, stages, full, free,
                  reinterpret_cast<float*>(shared + (free + 8 * kStages - base)));
  } else {
    take_registers<144>();
    add_patches(p, range, in0, out0, stages, full, free);
  }
}

}  // namespace

ConvWeightPlan conv_wgmma_weight_plan(const ConvShape& s, const ConvDevice& device) {
  return s.c % 32 == 0 && s.c >= 64 && s.o >= 48 ? plan_patches(s, device) : ConvWeightPlan{};
}

void conv_wgmma_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const float* dy,
                                const float* x, float* dweight, float* dbias, float* workspace) {
  static const bool raised = [] {
    HEFT_CUDA(cudaFuncSetAttribute(conv_wgmma_weight_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
    return true;
  }();
  static_cast<void>(raised);
  WgmmaWeightPlan p = describe_patches(s, plan, dweight, dbias, workspace);
  p.dy = dy;
  conv_wgmma_weight_kernel<<<patch_grid(s, plan), 512, kShared, device.stream>>>(
      image_map(x, true, s.n, s.h, s.w, s.c, 1, kTile, kTile), p);
  if (plan.splits > 1) conv_sum<float>(device.stream, workspace, plan.splits, s.weight_size(), dbias ? s.o : 0, dweight, dbias);
}
#else
ConvWeightPlan conv_wgmma_weight_plan(const ConvShape&, const ConvDevice&) { return {}; }
void conv_wgmma_backward_weight(const ConvShape&, const ConvDevice&, const ConvWeightPlan&, const float*, const float*, float*,
                                float*, float*) {}
#endif

}  // namespace heft::cuda
