// The kernel of conv_wgmma.cu: a convolution of stride 1 on Hopper's warpgroup products, for code compiled for sm_90a alone. A
// block takes 8 x 8 patches of output pixels; for every 32 input channels the patches' input, halo included, is brought to
// shared memory once, and a tap is the same products from rows further on: a row of 8 pixels is 8 rows of the operand, so a
// patch is 8 groups at a distance that a descriptor holds. Weights come tap by tap. Operands are rounded to TF32 on their way
// to shared memory; in bf16, pairs of channels are moved as floats are, and counted as one. Internal to cuda/.
#pragma once

#include "cuda/conv_wgmma.cuh"
#include "cuda/conv_wgmma_plan.h"

namespace heft::cuda {

// Where a patch lies in a block's tile, in pixels.
struct WgmmaPatch {
  int n, h, w;
  __device__ WgmmaPatch(const WgmmaPlan& p, int patch)
      : n(patch / p.patches_w / p.patches_h), h(patch / p.patches_w % p.patches_h * 8), w(patch % p.patches_w * 8) {}
};

// kPatches of 64 pixels to each of kWarpgroups, by kOut output channels; kResident blocks on a multiprocessor.
template <class ElementT, int kPatchesT, int kOutT, int kWarpgroupsT, int kResidentT>
struct WgmmaConfig {
  using Element = ElementT;  // float or bf16
  static constexpr int kPatches = kPatchesT, kOut = kOutT, kWarpgroups = kWarpgroupsT, kResident = kResidentT;
  static constexpr int kThreads = kWarpgroups * 128 + 32, kWeightBytes = kOut * 128;
};

// A lane and its neighbour exchange, so that each has four in a row of one of two products' columns.
template <class Config>
__device__ void store_patches(const WgmmaPlan& p, const float (&sums)[Config::kPatches][Config::kOut / 2], int first_patch,
                              int image0, int row0, int column0, int out0) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32 % 4, odd = lane % 2;
#pragma unroll
  for (int b = 0; b < Config::kPatches; ++b) {
    const WgmmaPatch at(p, first_patch + b);
    const int j = column0 + at.w + lane / 4, n = image0 + at.n;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = row0 + at.h + warp * 2 + half;
      const bool inside = i < p.out_h && j < p.out_w && n < p.images;
      auto* to = static_cast<typename Config::Element*>(p.out) + ((std::int64_t{n} * p.out_h + i) * p.out_w + j) * p.out_c;
#pragma unroll
      for (int k = 0; k < Config::kOut / 8; k += 2) {
        const float* low = &sums[b][k * 4 + half * 2];
        const float* high = low + 4;
        float x = odd ? low[0] : high[0], y = odd ? low[1] : high[1];
        asm("" : "+f"(x), "+f"(y));  // or the sums become integers, as what is shuffled does, and wgmma waits for conversions
        x = __shfl_xor_sync(~0u, x, 1), y = __shfl_xor_sync(~0u, y, 1);
        float4 v = odd ? make_float4(x, y, high[0], high[1]) : make_float4(low[0], low[1], x, y);
        const int o = out0 + (k + odd) * 8 + lane % 4 / 2 * 4;
        if (!inside || o >= p.out_c) continue;
        if (p.bias) v.x += p.bias[o], v.y += p.bias[o + 1], v.z += p.bias[o + 2], v.w += p.bias[o + 3];
        store_4(to + o, v);
      }
    }
  }
}

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, Config::kResident)
    conv_wgmma_kernel(const __grid_constant__ CUtensorMap in_map, const __grid_constant__ CUtensorMap weight_map,
                      const __grid_constant__ WgmmaPlan p) {
  constexpr int kWarps = Config::kWarpgroups * 4, kWeightBytes = Config::kWeightBytes;
  extern __shared__ char shared[];
  const std::uint32_t input = (shared_address(shared) + 1023) & ~1023u, weights = input + p.in_stages * p.in_stage_bytes;
  const std::uint32_t in_full = weights + p.weight_stages * kWeightBytes, in_free = in_full + 8 * p.in_stages;
  const std::uint32_t weight_full = in_free + 8 * p.in_stages, weight_free = weight_full + 8 * p.weight_stages;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  if (threadIdx.x == 0) {
    for (int k = 0; k < p.in_stages; ++k) init_barrier(in_full + 8 * k, 1), init_barrier(in_free + 8 * k, kWarps);
    for (int k = 0; k < p.weight_stages; ++k) init_barrier(weight_full + 8 * k, 1), init_barrier(weight_free + 8 * k, kWarps);
    publish_barriers();
  }
  __syncthreads();

  const int tile = static_cast<int>(blockIdx.x), row = tile / p.tiles_w;
  const int column0 = tile % p.tiles_w * p.patches_w * 8, row0 = row % p.tiles_h * p.patches_h * 8;
  const int image0 = row / p.tiles_h * p.patches_n, out0 = static_cast<int>(blockIdx.y) * Config::kOut;
  const int taps = p.kernel_h * p.kernel_w;

  if (warp == kWarps) {
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
      const int next_at = min(p.weight_stages, taps - 1);  // not before the last chunk's stage can be free
      for (int chunk = 0; chunk < p.chunks; ++chunk)
        for (int tap = 0; tap < taps; ++tap) {
          await(weight_free + 8 * weight.at, weight.parity ^ 1);
          arrive_expecting(weight_full + 8 * weight.at, kWeightBytes);
          copy_box(weights + weight.at * kWeightBytes, weight_map, weight_full + 8 * weight.at, chunk * 32, tap, out0);
          weight.advance(p.weight_stages);
          if (tap == next_at && chunk + 1 < p.chunks) fetch_input(chunk + 1);
        }
    }
  } else {
    const int first_patch = warp / 4 * Config::kPatches;
    std::uint32_t from[Config::kPatches];  // 16s of bytes
#pragma unroll
    for (int b = 0; b < Config::kPatches; ++b) {
      const WgmmaPatch at(p, first_patch + b);
      from[b] = (input >> 4) + static_cast<std::uint32_t>((at.n * p.tile_h + at.h) * p.tile_w + at.w) * 8;
    }
    float sums[Config::kPatches][Config::kOut / 2] = {};
    RingPlace in, weight;
    const auto in_distance = static_cast<std::uint32_t>(p.tile_w * 8);
    std::uint32_t weight_read = 0, in_read = 0;  // barriers of stages that the products under way may be the last to read
    const auto release = [&](std::uint32_t next_weight, std::uint32_t next_in) {
      if (weight_read && lane == 0) arrive(weight_read);
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
            for (int patch = 0; patch < Config::kPatches; ++patch)
              wgmma<typename Config::Element>(sums[patch], wgmma_operand(from[patch] + a + k * 2, in_distance),
                                              wgmma_operand(b + k * 2, 64));
          wgmma_commit();
          wgmma_wait<1>();
          release(weight_free + 8 * weight.at, r == p.kernel_h - 1 && s == p.kernel_w - 1 ? in_free + 8 * in.at : 0);
          weight.advance(p.weight_stages);
        }
      in.advance(p.in_stages);
    }
    wgmma_wait<0>();
    settle(sums);
    store_patches<Config>(p, sums, first_patch, image0, row0, column0, out0);
  }
}

}  // namespace heft::cuda
