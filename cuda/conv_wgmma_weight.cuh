// What the two kernels for the weight's gradient of a 3x3 convolution of stride 1 on Hopper have in common: 8 x 8 patches of dy
// with the x that they meet, 64 input by 64 output channels a block. Internal to cuda/.
#pragma once

#include "cuda/conv_sum.cuh"
#include "cuda/conv_wgmma_plan.h"

namespace heft::cuda {

constexpr int kPatch = 8, kTile = kPatch + 2;  // a patch of dy and the x that it meets, pixels on a side
constexpr int kIn = 64, kOut = 64;             // channels of a block

struct WgmmaWeightPlan {
  const float* dy;         // null in bf16
  float *partials, *bias;  // bias: null, or the partial sums of the bias' gradient
  std::int64_t partial_size;
  int in_c, out_c, out_h, out_w, pad_h, pad_w;
  int patches_h, patches_w, patches, splits, in_tiles;
};

// The share of a block of the patches, and where one of them lies.
struct PatchRange {
  int first, last;
  __device__ PatchRange(const WgmmaWeightPlan& p, int split)
      : first(static_cast<int>(std::int64_t{p.patches} * split / p.splits)),
        last(static_cast<int>(std::int64_t{p.patches} * (split + 1) / p.splits)) {}
};
struct PatchPlace {
  int n, i, j;
  __device__ PatchPlace(const WgmmaWeightPlan& p, int patch) {
    const int row = patch / p.patches_w;
    n = row / p.patches_h, i = row % p.patches_h * kPatch, j = patch % p.patches_w * kPatch;
  }
};

inline int channel_tiles(const ConvShape& s) { return ceil_div(s.c, kIn) * ceil_div(s.o, kOut); }

// For channels that the caller has found worth it.
inline ConvWeightPlan plan_patches(const ConvShape& s, const ConvDevice& device) {
  const bool taken = on_hopper() && s.groups == 1 && s.kh == 3 && s.kw == 3 && s.stride_h == 1 && s.stride_w == 1 &&
                     s.dilation_h == 1 && s.dilation_w == 1;
  const int tiles = channel_tiles(s);
  const std::int64_t patches = std::int64_t{s.n} * ceil_div(s.oh, kPatch) * ceil_div(s.ow, kPatch);
  // Little enough of the patches outside the images, and enough of them for each block.
  if (!taken || 2 * std::int64_t{s.n} * s.oh * s.ow < patches * kPatch * kPatch || patches > 1 << 30 || tiles >= 65536 ||
      patches * tiles < 3 * device.multiprocessors)
    return {};
  const int splits = std::max(1, device.multiprocessors / tiles);
  return {splits * (s.weight_size() + s.o), splits};
}

inline WgmmaWeightPlan describe_patches(const ConvShape& s, const ConvWeightPlan& plan, float* dweight, float* dbias,
                                        float* workspace) {
  WgmmaWeightPlan p{};
  const bool partial = plan.splits > 1;
  p.partials = partial ? workspace : dweight, p.partial_size = s.weight_size() + (dbias ? s.o : 0);
  if (dbias) p.bias = partial ? workspace + s.weight_size() : dbias;
  p.in_c = s.c, p.out_c = s.o, p.out_h = s.oh, p.out_w = s.ow, p.pad_h = s.pad_h, p.pad_w = s.pad_w;
  p.patches_h = ceil_div(s.oh, kPatch), p.patches_w = ceil_div(s.ow, kPatch), p.patches = s.n * p.patches_h * p.patches_w;
  p.splits = plan.splits, p.in_tiles = ceil_div(s.c, kIn);
  return p;
}
inline dim3 patch_grid(const ConvShape& s, const ConvWeightPlan& plan) {
  return dim3(static_cast<unsigned>(plan.splits), static_cast<unsigned>(channel_tiles(s)));
}

}  // namespace heft::cuda
