// 3x3 convolutions of stride 1 over 16 or 32 channels, forward and for the input's gradient. There is so little arithmetic to a byte
// that a tile in shared memory, with its barriers, costs more than it saves: every warp walks down rows on its own, reads pixels
// from global memory straight into the registers of the tensor cores' operand, and lets a row of the input meet the three rows of
// outputs it belongs to. Only the weights are shared.
#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

constexpr int kDirectWarps = 4;

struct DirectPlan {
  const float *in, *weight, *bias;
  float* out;
  int images, in_h, in_w, out_h, out_w, out_c;
  int pad_h, pad_w;
  int log_lanes;  // columns of a strip; 16 >> log_lanes images
  int rows, strips_w, strips_h, strips;
  int weight_in, weight_out;  // floats from an input and an output channel's weights to the next's
  int weight_row, weight_column, weight_first;  // and from a tap's to the next's, from where
  FastDivide by_strips_w, by_strips_h;
};

// Channels of the input come 16 to a block: thread t of a quad holds 4 t ... 4 t + 3, two of them in each of two products. A pair of
// 8-wide output tiles takes channel 2 n + u as column n of tile u: a thread ends with four output channels in a row.
template <int kInChannels>
__global__ void __launch_bounds__(32 * kDirectWarps, 3) conv_direct_kernel(const __grid_constant__ DirectPlan p) {
  constexpr int kChunks = kInChannels / 16, kFragments = 9 * kChunks * 2;  // of 32 lanes x 4
  __shared__ float4 weights[kFragments * 32];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, channel = static_cast<int>(blockIdx.y) * 16;
  wait_for_predecessor();
  allow_successor();
  for (int k = threadIdx.x; k < kFragments * 32; k += 32 * kDirectWarps) {
    const int at = k / 32 % 2, chunk = k / 64 % kChunks, tap = k / 64 / kChunks, s = tap / 3, r = tap % 3;
    const int in = chunk * 16 + k % 4 * 4 + at * 2, out = channel + k / 4 % 8 * 2;
    const float* from = p.weight + (p.weight_first + r * p.weight_row + s * p.weight_column + std::int64_t{in} * p.weight_in +
                                    std::int64_t{out} * p.weight_out);
    weights[k] = round_tf32(make_float4(from[0], from[p.weight_in], from[p.weight_out], from[p.weight_in + p.weight_out]));
  }
  __syncthreads();

  const int index = static_cast<int>(blockIdx.x) * kDirectWarps + static_cast<int>(threadIdx.x) / 32;
  if (index >= p.strips) return;
  const int rest = p.by_strips_w.quotient(index), column0 = p.by_strips_w.rest(index, rest) << p.log_lanes;
  const int group = p.by_strips_h.quotient(rest), row0 = p.by_strips_h.rest(rest, group) * p.rows;
  const int rows = min(p.rows, p.out_h - row0);

  // The pixel of lane g, and of g + 8, of the 16: image and column.
  int columns[2], images[2];
  std::int64_t in_pixel[2];
  bool inside[3][2];
  for (int half = 0; half < 2; ++half) {
    const int at = g + half * 8;
    columns[half] = column0 + (at & ((1 << p.log_lanes) - 1));
    images[half] = (group << (4 - p.log_lanes)) + (at >> p.log_lanes);
    in_pixel[half] = (std::int64_t{images[half]} * p.in_h + row0 - p.pad_h) * p.in_w + columns[half] - p.pad_w;
    for (int s = 0; s < 3; ++s)
      inside[s][half] = images[half] < p.images &&
                        static_cast<unsigned>(columns[half] - p.pad_w + s) < static_cast<unsigned>(p.in_w);
  }
  const float* from[2] = {p.in + in_pixel[0] * kInChannels + t * 4, p.in + in_pixel[1] * kInChannels + t * 4};

  float4 loaded[3][2];
  // Row y of the strip's rows + 2, counted from the first that an output meets; channels of one chunk.
  const auto load = [&](int y, int chunk) {
    const int row = row0 - p.pad_h + y;
    const bool row_inside = y < rows + 2 && static_cast<unsigned>(row) < static_cast<unsigned>(p.in_h);
    const std::int64_t offset = std::int64_t{y} * p.in_w * kInChannels + chunk * 16;
#pragma unroll
    for (int s = 0; s < 3; ++s)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        loaded[s][half] = row_inside && inside[s][half]
                              ? *reinterpret_cast<const float4*>(from[half] + offset + s * kInChannels)
                              : make_float4(0, 0, 0, 0);
  };

  float4 kept[kChunks == 1 ? kFragments : 1];
  if constexpr (kChunks == 1)
#pragma unroll
    for (int k = 0; k < kFragments; ++k) kept[k] = weights[k * 32 + lane];

  float sums[3][2][4] = {};
  load(0, 0);
  for (int y0 = 0; y0 < rows + 2; y0 += 3) {
#pragma unroll
    for (int j = 0; j < 3; ++j) {
      const int y = y0 + j;
      if (y >= rows + 2) break;
#pragma unroll
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        float a[3][2][4];
#pragma unroll
        for (int s = 0; s < 3; ++s) {
          const float4 low = round_tf32(loaded[s][0]), high = round_tf32(loaded[s][1]);
          a[s][0][0] = low.x, a[s][0][1] = high.x, a[s][0][2] = low.y, a[s][0][3] = high.y;
          a[s][1][0] = low.z, a[s][1][1] = high.z, a[s][1][2] = low.w, a[s][1][3] = high.w;
        }
        // The next are on their way while these are multiplied.
        if (chunk + 1 < kChunks)
          load(y, chunk + 1);
        else
          load(y + 1, 0);
        // Output row y - r of the strip, if it is one, in sums[(j - r) mod 3].
#pragma unroll
        for (int r = 0; r < 3; ++r) {
          if (y - r < 0 || y - r >= rows) continue;
#pragma unroll
          for (int s = 0; s < 3; ++s)
#pragma unroll
            for (int at = 0; at < 2; ++at) {
              const int k = ((s * 3 + r) * kChunks + chunk) * 2 + at;
              float4 b;
              if constexpr (kChunks == 1)
                b = kept[k];
              else
                b = weights[k * 32 + lane];
              mma_tf32(sums[(j - r + 3) % 3][0], a[s][at], b.x, b.y);
              mma_tf32(sums[(j - r + 3) % 3][1], a[s][at], b.z, b.w);
            }
        }
      }
      if (y < 2) continue;
      auto& done = sums[(j + 1) % 3];
      const int o = channel + t * 4;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (columns[half] >= p.out_w || images[half] >= p.images) continue;
        float4 v = make_float4(done[0][half * 2], done[1][half * 2], done[0][half * 2 + 1], done[1][half * 2 + 1]);
        if (p.bias) v.x += p.bias[o], v.y += p.bias[o + 1], v.z += p.bias[o + 2], v.w += p.bias[o + 3];
        const std::int64_t pixel = (std::int64_t{images[half]} * p.out_h + row0 + y - 2) * p.out_w + columns[half];
        *reinterpret_cast<float4*>(p.out + pixel * p.out_c + o) = v;
      }
#pragma unroll
      for (int e = 0; e < 8; ++e) done[e / 4][e % 4] = 0;
    }
  }
}

bool takes(const ConvShape& s, int in, int out) {
  return s.groups == 1 && s.kh == 3 && s.kw == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         (in == 16 || in == 32) && out % 16 == 0 && out <= 32;
}

void launch_direct(DirectPlan p, int in_c, const ConvDevice& device) {
  p.log_lanes = p.out_w <= 4 ? 2 : (p.out_w + 7) / 8 % 2 == 1 ? 3 : 4;
  p.strips_w = ceil_div(p.out_w, 1 << p.log_lanes);
  const int groups = ceil_div(p.images, 16 >> p.log_lanes), channel_tiles = p.out_c / 16;
  // The longer a strip, the fewer rows are read twice; but all multiprocessors shall have a few warps on each scheduler.
  p.rows = 16;
  while (p.rows > 4 &&
         std::int64_t{groups} * p.strips_w * ceil_div(p.out_h, p.rows) * channel_tiles < std::int64_t{6} * device.multiprocessors)
    p.rows /= 2;
  p.strips_h = ceil_div(p.out_h, p.rows);
  p.strips = groups * p.strips_w * p.strips_h;
  p.by_strips_w = FastDivide(p.strips_w), p.by_strips_h = FastDivide(p.strips_h);
  const dim3 grid(static_cast<unsigned>(ceil_div(p.strips, kDirectWarps)), static_cast<unsigned>(channel_tiles));
  launch_overlapped(in_c == 16 ? conv_direct_kernel<16> : conv_direct_kernel<32>, grid, dim3(32 * kDirectWarps), 0, device.stream, p);
}

}  // namespace

bool conv_direct_forward(const ConvShape& s, const ConvDevice& device, const float* x, const float* weight, const float* bias,
                         float* y) {
  if (!takes(s, s.c, s.o)) return false;
  DirectPlan p{};
  p.in = x, p.weight = weight, p.bias = bias, p.out = y;
  p.images = s.n, p.in_h = s.h, p.in_w = s.w, p.out_h = s.oh, p.out_w = s.ow, p.out_c = s.o;
  p.pad_h = s.pad_h, p.pad_w = s.pad_w;
  p.weight_in = 1, p.weight_out = 9 * s.c, p.weight_row = 3 * s.c, p.weight_column = s.c, p.weight_first = 0;
  launch_direct(p, s.c, device);
  return true;
}

// Over dy, with the taps in reverse: dx(h) meets dy(h + pad - r), so the padding is 2 - pad.
bool conv_direct_backward_input(const ConvShape& s, const ConvDevice& device, const float* dy, const float* weight, float* dx) {
  if (!takes(s, s.o, s.c)) return false;
  DirectPlan p{};
  p.in = dy, p.weight = weight, p.out = dx;
  p.images = s.n, p.in_h = s.oh, p.in_w = s.ow, p.out_h = s.h, p.out_w = s.w, p.out_c = s.c;
  p.pad_h = 2 - s.pad_h, p.pad_w = 2 - s.pad_w;
  p.weight_in = 9 * s.c, p.weight_out = 1, p.weight_row = -3 * s.c, p.weight_column = -s.c, p.weight_first = 8 * s.c;
  launch_direct(p, s.o, device);
  return true;
}

}  // namespace heft::cuda
