// How conv_wgmma.cu cuts a convolution into blocks, and the descriptions of tensors that Hopper's bulk copies take. Internal to
// cuda/.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>

#include "cuda/conv.h"
#include "cuda/status.h"

namespace heft::cuda {

// A convolution of stride 1 without groups; weights are (out_c, kernel_h, kernel_w, in_c). `bias` may be null. Input channels
// are counted in units of 4 bytes, a float or two of bf16.
struct WgmmaProblem {
  const void *in, *weight;
  const float* bias;
  void* out;  // floats or bf16
  int images, in_h, in_w, in_c, out_h, out_w, out_c;
  int kernel_h, kernel_w, pad_h, pad_w, dilation_h, dilation_w;
};

struct WgmmaPlan {
  const float* bias;
  void* out;
  int images, out_h, out_w, out_c;
  int kernel_h, kernel_w, pad_h, pad_w, dilation_h, dilation_w;
  int patches_w, patches_h, patches_n;  // of 8 x 8 output pixels: a block's
  int tile_h, tile_w;                   // input pixels of an image that a block meets
  int tiles_h, tiles_w;                 // blocks to an image, or to patches_n of them
  int chunks;                           // of 32 units of input channels
  int in_stages, weight_stages, in_box_bytes, in_stage_bytes;
};

struct WgmmaFit {
  WgmmaPlan plan{};
  std::size_t shared = 0;
  int blocks_x = 0, blocks_y = 0;
  bool fits = false;  // and little enough of the patches lies outside the images
};

// On a GPU of compute capability 9.0, where the code for it was built.
bool on_hopper();
// Bytes of shared memory for each of `resident` blocks on a multiprocessor.
std::size_t wgmma_shared_limit(int resident);
// Blocks of `patches` patches by `out` channels, `resident` of them on a multiprocessor.
WgmmaFit fit_wgmma(const WgmmaProblem& problem, int patches, int out, int resident);

// A dense (n, h, w, c) tensor and a box of 32 of its c units, of pixels that lie next to each other. What lies outside is 0.
// `round`: units are floats, and are rounded to TF32 on the way.
CUtensorMap image_map(const void* data, bool round, int n, int h, int w, int c, int box_n, int box_h, int box_w);
// A dense (o, taps, c) tensor and a box of 32 units, one tap and `box_o` outputs.
CUtensorMap weight_map(const void* data, bool round, int o, int taps, int c, int box_o);

}  // namespace heft::cuda
