// The convolutions' geometry and launchers. They take raw pointers, so that a benchmark runs them without tensors. Images are
// (N, H, W, C) and weights (O, kh, kw, C / groups), dense; `o` counts output channels. Internal to cuda/.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/bf16.h"

namespace heft::cuda {

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

struct ConvShape {
  int n, c, h, w;         // input
  int o, kh, kw, oh, ow;  // output
  int stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;

  constexpr int taps() const { return kh * kw; }
  constexpr std::int64_t input_size() const { return std::int64_t{n} * h * w * c; }
  constexpr std::int64_t output_size() const { return std::int64_t{n} * oh * ow * o; }
  constexpr std::int64_t weight_size() const { return std::int64_t{o} * taps() * (c / groups); }
};

// What a launch needs besides its operands.
struct ConvDevice {
  cudaStream_t stream;
  int multiprocessors;
};

// Each of the functions below returns false, having launched nothing, where its kernels do not take such a shape. T is float or
// bf16, unless they say otherwise: those in bf16 multiply what they are given, with sums in f32 and biases of f32.

// On tensor cores, operands rounded to TF32, sums in f32; channels through a tile of the input in shared memory that all taps
// share (conv_forward.cu, conv_backward_input.cu). `bias` may be null. The reduced channels are a multiple of 4, of 8 in bf16.
template <class T>
bool conv_tile_forward(const ConvShape& s, const ConvDevice& device, const T* x, const T* weight, const float* bias, T* y);
bool conv_tile_backward_input(const ConvShape& s, const ConvDevice& device, const float* dy, const float* weight, float* dx);
bool conv_tile_backward_input(const ConvShape& s, const ConvDevice& device, const bf16* dy, const bf16* turned, bf16* dx);

// The same on Hopper's warpgroup products, stride 1, where a GPU has them and there are channels enough to be faster; 32 of the
// reduced channels at a time, 64 in bf16 (conv_wgmma.cu). `turned`: weights of conv_turn_weights; null: nothing is launched,
// and the answer is whether it would be.
template <class T>
bool conv_wgmma_forward(const ConvShape& s, const ConvDevice& device, const T* x, const T* weight, const float* bias, T* y);
template <class T>
bool conv_wgmma_backward_input(const ConvShape& s, const ConvDevice& device, const T* dy, const T* turned, T* dx);

// A weight without groups as (c, taps in reverse, o), and as it lies but in bf16, a multiple of 4 values (conv_weights.cu).
template <class T>
void conv_turn_weights(const ConvShape& s, const ConvDevice& device, const float* weight, T* turned);
void conv_round_weights(const ConvShape& s, const ConvDevice& device, const float* weight, bf16* rounded);

// 3x3, stride 1, 16 input channels: straight from global memory, weights in f32 always (conv_direct.cu).
template <class T>
bool conv_direct_forward(const ConvShape& s, const ConvDevice& device, const T* x, const float* weight, const float* bias,
                         T* y);
template <class T>
bool conv_direct_backward_input(const ConvShape& s, const ConvDevice& device, const T* dy, const float* weight, T* dx);

// Few or oddly many input channels: the reduction runs over (tap, channel) together (conv_thin.cu).
template <class T>
bool conv_thin_forward(const ConvShape& s, const ConvDevice& device, const float* x, const float* weight, const float* bias,
                       T* y);

// Weight gradients (conv_backward_weight.cu; conv_wgmma_weight.cu on Hopper; conv_thin_weight.cu for few input channels).
// Blocks leave partial sums in `workspace`, which holds `floats` floats, and a second kernel adds them in a fixed order.
// `dbias` may be null. floats is 0 where the kernels do not take such a shape.
struct ConvWeightPlan {
  std::int64_t floats = 0;
  int splits = 0;
};
template <class T>
ConvWeightPlan conv_tile_weight_plan(const ConvShape& s, const ConvDevice& device);
template <class T>
void conv_tile_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const T* dy,
                               const T* x, float* dweight, float* dbias, float* workspace);
ConvWeightPlan conv_wgmma_weight_plan(const ConvShape& s, const ConvDevice& device);
void conv_wgmma_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const float* dy,
                                const float* x, float* dweight, float* dbias, float* workspace);
// In bf16 without a bias' gradient: `dbias` is null.
ConvWeightPlan conv_wgmma_weight_bf16_plan(const ConvShape& s, const ConvDevice& device);
void conv_wgmma_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const bf16* dy,
                                const bf16* x, float* dweight, float* dbias, float* workspace);
ConvWeightPlan conv_thin_weight_plan(const ConvShape& s, const ConvDevice& device);
void conv_thin_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const float* dy,
                               const float* x, float* dweight, float* dbias, float* workspace);

// Exact products in f32 or f64, which T is here, any shape (conv_plain.cu).
template <class T>
void conv_plain_forward(const ConvShape& s, const ConvDevice& device, const T* x, const T* weight, const T* bias, T* y);
template <class T>
void conv_plain_backward_input(const ConvShape& s, const ConvDevice& device, const T* dy, const T* weight, T* dx);
// `workspace` holds conv_plain_weight_plan(s, device).floats values of T.
ConvWeightPlan conv_plain_weight_plan(const ConvShape& s, const ConvDevice& device);
template <class T>
void conv_plain_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const T* dy,
                                const T* x, T* dweight, T* dbias, T* workspace);

}  // namespace heft::cuda
