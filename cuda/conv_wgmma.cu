// Convolutions of stride 1 on Hopper's warpgroup products. A block takes 8 x 8 patches of output pixels; for every 32 input
// channels the patches' input, halo included, is brought to shared memory once, and a tap is the same products from rows
// further on: a row of 8 pixels is 8 rows of the operand, so a patch is 8 groups at a distance that a descriptor holds. Weights
// come tap by tap; two blocks of a cluster fetch half of them each, for both. Operands are rounded to TF32 on their way to
// shared memory. The input's gradient is a convolution of dy with the weights turned around, which a small kernel writes out.
#include "cuda/conv_wgmma_plan.h"

#ifdef HEFT_HOPPER
#include "cuda/conv_wgmma.cuh"
#endif

namespace heft::cuda {

#ifdef HEFT_HOPPER
namespace {

// Where a patch lies in a block's tile, in pixels.
struct WgmmaPatch {
  int n, h, w;
  __device__ WgmmaPatch(const WgmmaPlan& p, int patch)
      : n(patch / p.patches_w / p.patches_h), h(patch / p.patches_w % p.patches_h * 8), w(patch % p.patches_w * 8) {}
};

// kPatches of 64 pixels to each of kWarpgroups, by kOut output channels; clusters of kCluster blocks.
template <int kPatches, int kOut, int kWarpgroups, int kCluster, int kResident>
__global__ void __launch_bounds__(kWarpgroups * 128 + 32, kResident)
    conv_wgmma_kernel(const __grid_constant__ CUtensorMap in_map, const __grid_constant__ CUtensorMap weight_map,
                      const __grid_constant__ WgmmaPlan p) {
  constexpr int kWeightBytes = kOut * 128, kShare = kOut / kCluster;
  extern __shared__ char shared[];
  const std::uint32_t input = (shared_address(shared) + 1023) & ~1023u, weights = input + p.in_stages * p.in_stage_bytes;
  const std::uint32_t in_full = weights + p.weight_stages * kWeightBytes, in_free = in_full + 8 * p.in_stages;
  const std::uint32_t weight_full = in_free + 8 * p.in_stages, weight_free = weight_full + 8 * p.weight_stages;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  if (threadIdx.x == 0) {
    for (int k = 0; k < p.in_stages; ++k) init_barrier(in_full + 8 * k, 1), init_barrier(in_free + 8 * k, 4 * kWarpgroups);
    for (int k = 0; k < p.weight_stages; ++k)
      init_barrier(weight_full + 8 * k, 1), init_barrier(weight_free + 8 * k, 4 * kWarpgroups * kCluster);
    publish_barriers();
  }
  if constexpr (kCluster > 1) sync_cluster();
  else __syncthreads();

  const int tile = static_cast<int>(blockIdx.x), row = tile / p.tiles_w;
  const int column0 = tile % p.tiles_w * p.patches_w * 8, row0 = row % p.tiles_h * p.patches_h * 8;
  const int image0 = row / p.tiles_h * p.patches_n, out0 = static_cast<int>(blockIdx.y) * kOut;
  const int taps = p.kernel_h * p.kernel_w;

  if (warp == kWarpgroups * 4) {
    if (lane == 0) {
      RingPlace in, weight;
      const auto fetch_input = [&](int chunk) {
        await(in_free + 8 * in.at, in.parity ^ 1);
        arrive_expecting(in_full + 8 * in.at, p.in_box_bytes);
        copy_box(input + in.at * p.in_stage_bytes, in_map, in_full + 8 * in.at, chunk * 32, column0 - p.pad_w, row0 - p.pad_h,
                 image0);
        in.advance(p.in_stages);
      };
      fetch_input(0);
      const int rank = kCluster > 1 ? cluster_rank() : 0, next_at = min(p.weight_stages, taps - 1);
      for (int chunk = 0; chunk < p.chunks; ++chunk)
        for (int tap = 0; tap < taps; ++tap) {
          const std::uint32_t full = weight_full + 8 * weight.at, to = weights + weight.at * kWeightBytes + rank * kShare * 128;
          await(weight_free + 8 * weight.at, weight.parity ^ 1);
          arrive_expecting(full, kWeightBytes);
          if constexpr (kCluster > 1)
            copy_box_to_all(to, weight_map, full, chunk * 32, tap, out0 + rank * kShare, (1 << kCluster) - 1);
          else copy_box(to, weight_map, full, chunk * 32, tap, out0);
          weight.advance(p.weight_stages);
          if (tap == next_at && chunk + 1 < p.chunks) fetch_input(chunk + 1);
        }
    }
    __syncwarp();
  } else {
    const int first_patch = warp / 4 * kPatches;
    std::uint32_t from[kPatches];  // 16s of bytes
#pragma unroll
    for (int b = 0; b < kPatches; ++b) {
      const WgmmaPatch at(p, first_patch + b);
      from[b] = (input >> 4) + static_cast<std::uint32_t>((at.n * p.tile_h + at.h) * p.tile_w + at.w) * 8;
    }
    float sums[kPatches][kOut / 2] = {};
    RingPlace in, weight;
    const auto in_distance = static_cast<std::uint32_t>(p.tile_w * 8);
    std::uint32_t weight_read = 0, in_read = 0;  // barriers of stages that the products under way may be the last to read
    const auto release = [&](std::uint32_t next_weight, std::uint32_t next_in) {
      if (weight_read && lane < kCluster) arrive_at(weight_read, lane);
      if (in_read && lane == 0) arrive(in_read);
      weight_read = next_weight, in_read = next_in;
    };
    for (int chunk = 0; chunk < p.chunks; ++chunk) {
      await(in_full + 8 * in.at, in.parity);
      for (int r = 0; r < p.kernel_h; ++r)
        for (int s = 0; s < p.kernel_w; ++s) {
          await(weight_full + 8 * weight.at, weight.parity);
          const int pixel = r * p.dilation_h * p.tile_w + s * p.dilation_w;
          const auto a = static_cast<std::uint32_t>(in.at * (p.in_stage_bytes >> 4) + pixel * 8);
          const std::uint32_t b = (weights >> 4) + static_cast<std::uint32_t>(weight.at * (kWeightBytes >> 4));
          wgmma_fence();
#pragma unroll
          for (int k = 0; k < 4; ++k)
#pragma unroll
            for (int patch = 0; patch < kPatches; ++patch)
              wgmma(sums[patch], wgmma_operand(from[patch] + a + k * 2, in_distance), wgmma_operand(b + k * 2, 64));
          wgmma_commit();
          wgmma_wait<1>();
          const bool last = r == p.kernel_h - 1 && s == p.kernel_w - 1;
          release(weight_free + 8 * weight.at, last ? in_free + 8 * in.at : 0);
          weight.advance(p.weight_stages);
        }
      in.advance(p.in_stages);
    }
    wgmma_wait<0>();

#pragma unroll
    for (int b = 0; b < kPatches; ++b) {
      const WgmmaPatch at(p, first_patch + b);
      const int j = column0 + at.w + lane / 4, n = image0 + at.n;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int i = row0 + at.h + warp % 4 * 2 + half;
        if (i >= p.out_h || j >= p.out_w || n >= p.images) continue;
        float* to = p.out + ((std::int64_t{n} * p.out_h + i) * p.out_w + j) * p.out_c;
#pragma unroll
        for (int k = 0; k < kOut / 8; ++k) {
          const int o = out0 + k * 8 + lane % 4 * 2;
          if (o >= p.out_c) break;
          float2 v = make_float2(sums[b][k * 4 + half * 2], sums[b][k * 4 + half * 2 + 1]);
          if (p.bias) v.x += p.bias[o], v.y += p.bias[o + 1];
          *reinterpret_cast<float2*>(to + o) = v;
        }
      }
    }
  }
  // Other blocks may still arrive at this one's barriers.
  if constexpr (kCluster > 1) sync_cluster();
}

// (in, tap, out) with the taps in reverse, from (out, tap, in). Blocks of 32 x 8 threads turn 32 x 32 values.
__global__ void __launch_bounds__(256) turn_weights_kernel(const float* weight, float* turned, int in, int out, int taps) {
  __shared__ float tile[32][33];
  const int in0 = static_cast<int>(blockIdx.x) * 32, out0 = static_cast<int>(blockIdx.y) * 32;
  const int tap = static_cast<int>(blockIdx.z), x = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int k = threadIdx.y; k < 32; k += 8)
    if (out0 + k < out && in0 + x < in) tile[k][x] = weight[(std::int64_t{out0 + k} * taps + tap) * in + in0 + x];
  __syncthreads();
#pragma unroll
  for (int k = threadIdx.y; k < 32; k += 8)
    if (in0 + k < in && out0 + x < out) turned[(std::int64_t{in0 + k} * taps + taps - 1 - tap) * out + out0 + x] = tile[x][k];
}

// How a convolution is computed: a plan and the launch that goes with it.
struct WgmmaRun {
  WgmmaProblem problem{};
  WgmmaFit fit{};
  void (*launch)(const WgmmaRun&, cudaStream_t) = nullptr;
};

template <int kPatches, int kOut, int kWarpgroups, int kCluster, int kResident>
void launch_wgmma(const WgmmaRun& run, cudaStream_t stream) {
  const auto kernel = conv_wgmma_kernel<kPatches, kOut, kWarpgroups, kCluster, kResident>;
  static const bool raised = [&] {
    HEFT_CUDA(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(wgmma_shared_limit(1))));
    return true;
  }();
  static_cast<void>(raised);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = kCluster, attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(run.fit.blocks_x), static_cast<unsigned>(run.fit.blocks_y));
  config.blockDim = dim3(kWarpgroups * 128 + 32), config.dynamicSmemBytes = run.fit.shared, config.stream = stream;
  config.attrs = &attribute, config.numAttrs = 1;
  const WgmmaProblem& s = run.problem;
  const WgmmaPlan& p = run.fit.plan;
  const CUtensorMap in = image_map(s.in, s.images, s.in_h, s.in_w, s.in_c, p.patches_n, p.tile_h, p.tile_w);
  const CUtensorMap weight = weight_map(s.weight, s.out_c, s.kernel_h * s.kernel_w, s.in_c, kOut / kCluster);
  HEFT_CUDA(cudaLaunchKernelEx(&config, kernel, in, weight, p));
}

// With blocks of that shape if there are at least `least_blocks`.
template <int kPatches, int kOut, int kWarpgroups, int kCluster, int kResident>
bool fit_run(WgmmaRun& run, int least_blocks) {
  run.fit = fit_wgmma(run.problem, kPatches * kWarpgroups, kOut, kCluster, kResident);
  if (!run.fit.fits || run.fit.blocks_x * run.fit.blocks_y < least_blocks) return false;
  run.launch = launch_wgmma<kPatches, kOut, kWarpgroups, kCluster, kResident>;
  return true;
}

bool find_run(WgmmaRun& run, const ConvDevice& device) {
  const WgmmaProblem& s = run.problem;
  if (!on_hopper() || s.in_c % 32 != 0 || s.out_c % 4 != 0 || s.kernel_h * s.kernel_w < 4) return false;
  if (s.images == 0 || s.in_h == 0 || s.in_w == 0 || s.out_h == 0 || s.out_w == 0) return false;
  const int wave = 9 * device.multiprocessors / 10;
  if (s.out_c > 64)
    return fit_run<2, 128, 2, 2, 1>(run, wave) || fit_run<1, 128, 2, 2, 2>(run, wave) || fit_run<1, 64, 2, 2, 2>(run, wave) ||
           fit_run<1, 64, 1, 2, 2>(run, wave / 2);
  return s.out_c > 32 && (fit_run<2, 64, 2, 2, 2>(run, 2 * wave) || fit_run<1, 64, 2, 2, 2>(run, wave) ||
                          fit_run<1, 64, 1, 2, 2>(run, wave / 2));
}

}  // namespace

bool conv_wgmma_forward(const ConvShape& s, const ConvDevice& device, const float* x, const float* weight, const float* bias,
                        float* y) {
  if (s.groups != 1 || s.stride_h != 1 || s.stride_w != 1) return false;
  WgmmaRun run;
  run.problem = {x,    weight, bias, y,    s.n,     s.h,     s.w,          s.c,         s.oh,
                 s.ow, s.o,    s.kh, s.kw, s.pad_h, s.pad_w, s.dilation_h, s.dilation_w};
  if (!find_run(run, device)) return false;
  run.launch(run, device.stream);
  return true;
}

bool conv_wgmma_backward_input(const ConvShape& s, const ConvDevice& device, const float* dy, const float* weight, float* dx,
                               float* workspace) {
  if (s.groups != 1 || s.stride_h != 1 || s.stride_w != 1) return false;
  const int pad_h = s.dilation_h * (s.kh - 1) - s.pad_h, pad_w = s.dilation_w * (s.kw - 1) - s.pad_w;
  WgmmaRun run;
  run.problem = {dy,  workspace, nullptr, dx,   s.n,   s.oh,  s.ow,         s.o,         s.h,
                 s.w, s.c,       s.kh,    s.kw, pad_h, pad_w, s.dilation_h, s.dilation_w};
  if (!find_run(run, device)) return false;
  if (!workspace) return true;
  const dim3 grid(static_cast<unsigned>((s.c + 31) / 32), static_cast<unsigned>((s.o + 31) / 32),
                  static_cast<unsigned>(s.taps()));
  turn_weights_kernel<<<grid, dim3(32, 8), 0, device.stream>>>(weight, workspace, s.c, s.o, s.taps());
  run.launch(run, device.stream);
  return true;
}
#else
bool conv_wgmma_forward(const ConvShape&, const ConvDevice&, const float*, const float*, const float*, float*) { return false; }
bool conv_wgmma_backward_input(const ConvShape&, const ConvDevice&, const float*, const float*, float*, float*) {
  return false;
}
#endif

}  // namespace heft::cuda
