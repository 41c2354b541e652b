// The weight's gradient of 3x3 convolutions of stride 1 over 16 or 32 channels. As in conv_direct.cu every warp reads straight from
// global memory and walks down rows: a row of the input meets the three rows of dy that stay in registers.
#include "cuda/conv_strips.cuh"
#include "cuda/conv_sum.cuh"
#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

constexpr int kWeightWarps = 8, kWeightSums = 9 * 8 + 2;

struct DirectWeightPlan {
  const float *dy, *x;
  float *partials, *bias;  // (splits, weights then biases); `bias` may be null
  std::int64_t partial_size;
  int images, in_h, in_w, out_h, out_w, pad_h, pad_w;
  int log_lanes, rows, strips_w, strips_h, strips;
  FastDivide by_strips_w, by_strips_h;
};

// A warp takes 16 output and 16 input channels, and every gridDim.x-th strip: 8 lanes, 2^log_lanes columns of as many images as fill 8,
// by `rows` rows. Channels are paired as in conv_backward_weight.cu.
template <int kInChannels, int kOutChannels>
__global__ void __launch_bounds__(32 * kWeightWarps, 1) conv_direct_weight_kernel(const __grid_constant__ DirectWeightPlan p) {
  constexpr int kInTiles = kInChannels / 16, kTiles = kInTiles * (kOutChannels / 16), kStrips = kWeightWarps / kTiles;
  using Block = StripBlock<kTiles, kStrips, 1>;
  __shared__ float shared[Block::adding_floats(kWeightSums)];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int in0 = Block::part() % kInTiles * 16, out0 = Block::part() / kInTiles * 16;
  wait_for_predecessor();
  allow_successor();

  float sums[kWeightSums] = {};  // (tap, in-channel tile, 4), taps by columns; then dy's
  const auto add = [&](int s, int r, const float(&a)[4], const float2& low, const float2& high) {
    mma_tf32(reinterpret_cast<float(&)[4]>(sums[(s * 3 + r) * 8]), a, low.x, high.x);
    mma_tf32(reinterpret_cast<float(&)[4]>(sums[(s * 3 + r) * 8 + 4]), a, low.y, high.y);
  };
  for (int strip = static_cast<int>(blockIdx.x) * kStrips + Block::strip(); strip < p.strips;
       strip += static_cast<int>(gridDim.x) * kStrips) {
    const int rest = p.by_strips_w.quotient(strip), column0 = p.by_strips_w.rest(strip, rest) << p.log_lanes;
    const int group = p.by_strips_h.quotient(rest), row0 = p.by_strips_h.rest(rest, group) * p.rows;
    const int rows = min(p.rows, p.out_h - row0);
    const float *from_dy[2], *from_x[2];
    bool dy_inside[2], x_inside[3][2];
    for (int half = 0; half < 2; ++half) {
      const int at = t + half * 4, n = (group << (3 - p.log_lanes)) + (at >> p.log_lanes);
      const int column = column0 + (at & ((1 << p.log_lanes) - 1));
      dy_inside[half] = n < p.images && column < p.out_w;
      from_dy[half] = p.dy + ((std::int64_t{n} * p.out_h + row0) * p.out_w + column) * kOutChannels + out0 + g * 2;
      from_x[half] =
          p.x + ((std::int64_t{n} * p.in_h + row0 - p.pad_h) * p.in_w + column - p.pad_w) * kInChannels + in0 + g * 2;
      for (int s = 0; s < 3; ++s)
        x_inside[s][half] = n < p.images && static_cast<unsigned>(column - p.pad_w + s) < static_cast<unsigned>(p.in_w);
    }
    // Three rows are on their way while one is multiplied.
    float2 dy[3][2], x[3][3][2];
    const auto load = [&](int y, int slot) {
      const int row = row0 - p.pad_h + y;
      const bool row_inside = y < rows + 2 && static_cast<unsigned>(row) < static_cast<unsigned>(p.in_h);
      const float2 nothing = make_float2(0, 0);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        dy[slot][half] = y < rows && dy_inside[half]
                             ? *reinterpret_cast<const float2*>(from_dy[half] + std::int64_t{y} * p.out_w * kOutChannels)
                             : nothing;
#pragma unroll
        for (int s = 0; s < 3; ++s)
          x[slot][s][half] =
              row_inside && x_inside[s][half]
                  ? *reinterpret_cast<const float2*>(from_x[half] + (std::int64_t{y} * p.in_w + s) * kInChannels)
                  : nothing;
      }
    };
    float a[3][4] = {};
    load(0, 0);
    load(1, 1);
    load(2, 2);
    for (int y0 = 0; y0 < rows + 2; y0 += 3) {
#pragma unroll
      for (int j = 0; j < 3; ++j) {
        const int y = y0 + j;
        if (y >= rows + 2) break;
        sums[72] += dy[j][0].x + dy[j][1].x, sums[73] += dy[j][0].y + dy[j][1].y;
        a[j][0] = round_tf32(dy[j][0].x), a[j][1] = round_tf32(dy[j][0].y);
        a[j][2] = round_tf32(dy[j][1].x), a[j][3] = round_tf32(dy[j][1].y);
        float2 low[3], high[3];
#pragma unroll
        for (int s = 0; s < 3; ++s) {
          low[s] = make_float2(round_tf32(x[j][s][0].x), round_tf32(x[j][s][0].y));
          high[s] = make_float2(round_tf32(x[j][s][1].x), round_tf32(x[j][s][1].y));
        }
        load(y + 3, j);
        // Rows of dy outside of the strip are zeros.
#pragma unroll
        for (int r = 0; r < 3; ++r)
#pragma unroll
          for (int s = 0; s < 3; ++s) add(s, r, a[(j - r + 3) % 3], low[s], high[s]);
      }
    }
  }

  Block::template add_strips<kWeightSums>(sums, shared);
  if (Block::strip() > 0) return;
  float* partials = p.partials + blockIdx.x * p.partial_size;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int o = out0 + g * 2 + half;
#pragma unroll
    for (int s = 0; s < 3; ++s)
#pragma unroll
      for (int r = 0; r < 3; ++r) {
        const float* sum = sums + (s * 3 + r) * 8 + half * 2;
        *reinterpret_cast<float4*>(partials + (o * 9 + r * 3 + s) * kInChannels + in0 + t * 4) =
            make_float4(sum[0], sum[4], sum[1], sum[5]);
      }
    float bias = sums[72 + half];
    bias += __shfl_xor_sync(0xffffffffu, bias, 1);
    bias += __shfl_xor_sync(0xffffffffu, bias, 2);
    if (p.bias && in0 == 0 && t == 0) p.bias[blockIdx.x * p.partial_size + o] = bias;
  }
}

bool takes(const ConvShape& s) {
  return s.groups == 1 && s.kh == 3 && s.kw == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         (s.c == 16 || s.c == 32) && (s.o == 16 || s.o == 32);
}

DirectWeightPlan cut(const ConvShape& s, const ConvDevice& device, int& splits) {
  const int strips_a_block = kWeightWarps / (s.c / 16 * (s.o / 16));
  DirectWeightPlan p{};
  p.images = s.n, p.in_h = s.h, p.in_w = s.w, p.out_h = s.oh, p.out_w = s.ow, p.pad_h = s.pad_h, p.pad_w = s.pad_w;
  p.log_lanes = s.ow <= 4 ? 2 : 3;
  p.strips_w = ceil_div(s.ow, 1 << p.log_lanes);
  const int groups = ceil_div(s.n, 8 >> p.log_lanes);
  p.rows = 32;
  while (p.rows > 4 && std::int64_t{groups} * p.strips_w * ceil_div(s.oh, p.rows) * 10 <
                           std::int64_t{9} * device.multiprocessors * strips_a_block)
    p.rows /= 2;
  p.strips_h = ceil_div(s.oh, p.rows);
  p.strips = groups * p.strips_w * p.strips_h;
  p.by_strips_w = FastDivide(p.strips_w), p.by_strips_h = FastDivide(p.strips_h);
  const int blocks = ceil_div(p.strips, strips_a_block);
  splits = ceil_div(blocks, ceil_div(blocks, device.multiprocessors));
  return p;
}

}  // namespace

ConvWeightPlan conv_direct_weight_plan(const ConvShape& s, const ConvDevice& device) {
  if (!takes(s)) return {};
  ConvWeightPlan plan;
  cut(s, device, plan.splits);
  plan.floats = plan.splits * (s.weight_size() + s.o);
  return plan;
}

void conv_direct_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const float* dy,
                                 const float* x, float* dweight, float* dbias, float* workspace) {
  int splits = 0;
  DirectWeightPlan p = cut(s, device, splits);
  p.dy = dy, p.x = x, p.partials = workspace, p.bias = dbias ? workspace + s.weight_size() : nullptr;
  p.partial_size = s.weight_size() + (dbias ? s.o : 0);
  const auto kernel = s.c == 16 ? (s.o == 16 ? conv_direct_weight_kernel<16, 16> : conv_direct_weight_kernel<16, 32>)
                                : (s.o == 16 ? conv_direct_weight_kernel<32, 16> : conv_direct_weight_kernel<32, 32>);
  launch_overlapped(kernel, dim3(static_cast<unsigned>(splits)), dim3(32 * kWeightWarps), 0, device.stream, p);
  conv_sum<float>(device.stream, workspace, plan.splits, s.weight_size(), dbias ? s.o : 0, dweight, dbias);
}

}  // namespace heft::cuda
