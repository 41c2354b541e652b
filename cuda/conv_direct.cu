// 3x3 convolutions of stride 1 over 16 channels, forward and for the input's gradient. There is so little arithmetic to a byte
// that a tile in shared memory, with its barriers, costs more than it saves: every warp walks down rows on its own, reads
// pixels from global memory straight into the registers of the tensor cores' operand, and lets a row of the input meet the
// three rows of outputs it belongs to. Only the weights are shared. In bf16 a product takes the channels that two take in TF32.
#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

constexpr int kDirectWarps = 4, kInChannels = 16;

struct DirectPlan {
  const void* in;
  const float *weight, *bias;
  void* out;
  int images, in_h, in_w, out_h, out_w, out_c;
  int pad_h, pad_w;
  int log_lanes;  // columns of a strip; 16 >> log_lanes images
  int rows, strips_w, strips_h, strips;
  int weight_in, weight_out;                    // floats from an input and an output channel's weights to the next's
  int weight_row, weight_column, weight_first;  // and from a tap's to the next's, from where
  FastDivide by_strips_w, by_strips_h;
};

// Four input channels of a pixel as they are loaded, and those of two pixels as operands, one for each product.
template <class T>
struct Quad;
template <>
struct Quad<float> {
  static constexpr int kProducts = 2;
  float4 v;
  __device__ static void operands(const Quad& low, const Quad& high, float (&a)[2][4]) {
    const float4 l = round_tf32(low.v), h = round_tf32(high.v);
    a[0][0] = l.x, a[0][1] = h.x, a[0][2] = l.y, a[0][3] = h.y;
    a[1][0] = l.z, a[1][1] = h.z, a[1][2] = l.w, a[1][3] = h.w;
  }
  // b of both output tiles, from the weights of input channels `in` of an output channel and of the next.
  __device__ static float4 weights(const float* w, int in, int out, int product) {
    w += product * 2 * in;
    return round_tf32(make_float4(w[0], w[in], w[out], w[in + out]));
  }
};
template <>
struct Quad<bf16> {
  static constexpr int kProducts = 1;
  float2 v;  // pairs
  __device__ static void operands(const Quad& low, const Quad& high, float (&a)[1][4]) {
    a[0][0] = low.v.x, a[0][1] = high.v.x, a[0][2] = low.v.y, a[0][3] = high.v.y;
  }
  __device__ static float4 weights(const float* w, int in, int out, int) {
    return make_float4(bf16_pair(w[0], w[in]), bf16_pair(w[2 * in], w[3 * in]), bf16_pair(w[out], w[in + out]),
                       bf16_pair(w[2 * in + out], w[3 * in + out]));
  }
};

// Thread t of a quad holds input channels 4 t ... 4 t + 3, two of them in each of two products in TF32. Column n of output tile
// u is channel 2 n + u: a thread ends with four output channels in a row.
template <class T>
__global__ void __launch_bounds__(32 * kDirectWarps, 2) conv_direct_kernel(const __grid_constant__ DirectPlan p) {
  constexpr int kProducts = Quad<T>::kProducts, kFragments = 9 * kProducts;  // of 32 lanes x 4
  __shared__ float4 weights[kFragments * 32];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, channel = static_cast<int>(blockIdx.y) * 16;
  const int index = static_cast<int>(blockIdx.x) * kDirectWarps + static_cast<int>(threadIdx.x) / 32;
  const int rest = p.by_strips_w.quotient(index), column0 = p.by_strips_w.rest(index, rest) << p.log_lanes;
  const int group = p.by_strips_h.quotient(rest), row0 = p.by_strips_h.rest(rest, group) * p.rows;
  const int rows = index < p.strips ? min(p.rows, p.out_h - row0) : 0;

  // Of lanes g and g + 8: their first input row and output pixel, and which of a row's three columns are inside.
  const T* from[2];
  T* to[2];
  bool inside[3][2], stored[2];
  for (int half = 0; half < 2; ++half) {
    const int at = g + half * 8, column = column0 + (at & ((1 << p.log_lanes) - 1));
    const int n = (group << (4 - p.log_lanes)) + (at >> p.log_lanes);
    from[half] = static_cast<const T*>(p.in) +
                 ((std::int64_t{n} * p.in_h + row0 - p.pad_h) * p.in_w + column - p.pad_w) * kInChannels + t * 4;
    to[half] = static_cast<T*>(p.out) + ((std::int64_t{n} * p.out_h + row0) * p.out_w + column) * p.out_c + channel + t * 4;
    stored[half] = n < p.images && column < p.out_w;
    for (int s = 0; s < 3; ++s)
      inside[s][half] = n < p.images && static_cast<unsigned>(column - p.pad_w + s) < static_cast<unsigned>(p.in_w);
  }
  const int in_row = p.in_w * kInChannels, out_row = p.out_w * p.out_c;

  // Three rows are on their way while one is multiplied.
  Quad<T> loaded[3][3][2];
  // Column s of row y of the strip's rows + 2, counted from the first that an output meets; columns and rows in turn.
  const auto load = [&](int y, int slot, int s) {
    const bool row_inside = y < rows + 2 && static_cast<unsigned>(row0 - p.pad_h + y) < static_cast<unsigned>(p.in_h);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      loaded[slot][s][half] = {};
      if (row_inside && inside[s][half])
        loaded[slot][s][half] = *reinterpret_cast<const Quad<T>*>(from[half] + s * kInChannels);
      if (s == 2) from[half] += in_row;
    }
  };
#pragma unroll
  for (int k = 0; k < 9; ++k) load(k / 3, k / 3, k % 3);
  for (int k = threadIdx.x; k < kFragments * 32; k += 32 * kDirectWarps) {
    const int product = k / 32 % kProducts, tap = k / 32 / kProducts, s = tap / 3, r = tap % 3;
    const int in = k % 4 * 4, out = channel + k / 4 % 8 * 2;
    const float* weight =
        p.weight + (p.weight_first + r * p.weight_row + s * p.weight_column + in * p.weight_in + out * p.weight_out);
    weights[k] = Quad<T>::weights(weight, p.weight_in, p.weight_out, product);
  }
  float4 bias = make_float4(0, 0, 0, 0);
  if (p.bias) {
    const float* b = p.bias + channel + t * 4;
    bias = make_float4(b[0], b[1], b[2], b[3]);
  }
  __syncthreads();
  if (rows == 0) return;
  float4 b[kFragments];
#pragma unroll
  for (int k = 0; k < kFragments; ++k) b[k] = weights[k * 32 + lane];

  float sums[3][2][4] = {};  // of output rows by their remainder of 3
  for (int y0 = 0; y0 < rows + 2; y0 += 3) {
#pragma unroll
    for (int j = 0; j < 3; ++j) {
      const int y = y0 + j;
      if (y >= rows + 2) break;
        // Output row y - r. Rows that the strip does not have are summed too, and not stored: six sums that do not wait for one
        // another are worth more than the branches.
#pragma unroll
      for (int s = 0; s < 3; ++s) {
        float a[kProducts][4];
        Quad<T>::operands(loaded[j][s][0], loaded[j][s][1], a);
        load(y + 3, j, s);
#pragma unroll
        for (int product = 0; product < kProducts; ++product)
#pragma unroll
          for (int r = 0; r < 3; ++r) {
            const float4& w = b[(s * 3 + r) * kProducts + product];
            mma<T>(sums[(j - r + 3) % 3][0], a[product], w.x, w.y);
            mma<T>(sums[(j - r + 3) % 3][1], a[product], w.z, w.w);
          }
      }
      auto& done = sums[(j + 1) % 3];
      if (y >= 2) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          if (stored[half])
            store_4(to[half], make_float4(done[0][half * 2] + bias.x, done[1][half * 2] + bias.y,
                                          done[0][half * 2 + 1] + bias.z, done[1][half * 2 + 1] + bias.w));
          to[half] += out_row;
        }
      }
#pragma unroll
      for (int e = 0; e < 8; ++e) done[e / 4][e % 4] = 0;
    }
  }
}

bool takes(const ConvShape& s, int in, int out) {
  return s.groups == 1 && s.kh == 3 && s.kw == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
         s.dilation_w == 1 && in == kInChannels && (out == 16 || out == 32);
}

template <class T>
void launch_direct(DirectPlan p, const ConvDevice& device) {
  p.log_lanes = p.out_w <= 4 ? 2 : (p.out_w + 7) / 8 % 2 == 1 ? 3 : 4;
  p.strips_w = ceil_div(p.out_w, 1 << p.log_lanes);
  const int groups = ceil_div(p.images, 16 >> p.log_lanes), channel_tiles = p.out_c / 16;
  // The longer a strip, the fewer rows are read twice; but all multiprocessors shall have a few warps on each scheduler.
  p.rows = 16;
  while (p.rows > 4 && std::int64_t{groups} * p.strips_w * ceil_div(p.out_h, p.rows) * channel_tiles <
                           std::int64_t{6} * device.multiprocessors)
    p.rows /= 2;
  p.strips_h = ceil_div(p.out_h, p.rows);
  p.strips = groups * p.strips_w * p.strips_h;
  p.by_strips_w = FastDivide(p.strips_w), p.by_strips_h = FastDivide(p.strips_h);
  const dim3 grid(static_cast<unsigned>(ceil_div(p.strips, kDirectWarps)), static_cast<unsigned>(channel_tiles));
  launch(conv_direct_kernel<T>, grid, dim3(32 * kDirectWarps), 0, device.stream, p);
}

}  // namespace

template <class T>
bool conv_direct_forward(const ConvShape& s, const ConvDevice& device, const T* x, const float* weight, const float* bias,
                         T* y) {
  if (!takes(s, s.c, s.o)) return false;
  DirectPlan p{};
  p.in = x, p.weight = weight, p.bias = bias, p.out = y;
  p.images = s.n, p.in_h = s.h, p.in_w = s.w, p.out_h = s.oh, p.out_w = s.ow, p.out_c = s.o;
  p.pad_h = s.pad_h, p.pad_w = s.pad_w;
  p.weight_in = 1, p.weight_out = 9 * s.c, p.weight_row = 3 * s.c, p.weight_column = s.c, p.weight_first = 0;
  launch_direct<T>(p, device);
  return true;
}

// Over dy, with the taps in reverse: dx(h) meets dy(h + pad - r), so the padding is 2 - pad.
template <class T>
bool conv_direct_backward_input(const ConvShape& s, const ConvDevice& device, const T* dy, const float* weight, T* dx) {
  if (!takes(s, s.o, s.c)) return false;
  DirectPlan p{};
  p.in = dy, p.weight = weight, p.out = dx;
  p.images = s.n, p.in_h = s.oh, p.in_w = s.ow, p.out_h = s.h, p.out_w = s.w, p.out_c = s.c;
  p.pad_h = 2 - s.pad_h, p.pad_w = 2 - s.pad_w;
  p.weight_in = 9 * s.c, p.weight_out = 1, p.weight_row = -3 * s.c, p.weight_column = -s.c, p.weight_first = 8 * s.c;
  launch_direct<T>(p, device);
  return true;
}

#define HEFT_INSTANTIATE(T)                                                                                            \
  template bool conv_direct_forward<T>(const ConvShape&, const ConvDevice&, const T*, const float*, const float*, T*); \
  template bool conv_direct_backward_input<T>(const ConvShape&, const ConvDevice&, const T*, const float*, T*);
HEFT_INSTANTIATE(float)
HEFT_INSTANTIATE(bf16)
#undef HEFT_INSTANTIATE

}  // namespace heft::cuda
