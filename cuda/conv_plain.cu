// Convolutions with exact products, f32 and f64, any geometry and groups: implicit matrix products of 64 x 64 blocks whose
// operands are looked up element by element.
#include <algorithm>

#include "cuda/conv.h"
#include "cuda/conv_sum.cuh"

namespace heft::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kEach = 4, kPlainThreads = 256;

struct Position {
  int n, y, x;
};
__device__ Position position(int pixel, int h, int w) { return {pixel / w / h, pixel / w % h, pixel % w}; }
struct Tap {
  int r, s, channel;
};
__device__ Tap tap_of(int k, const ConvShape& s, int channels) {
  const int tap = k / channels;
  return {tap / s.kw, tap % s.kw, k % channels};
}

// Where output (y, x) meets the input through a tap; -1 where that is padding.
__device__ std::int64_t input_pixel(const ConvShape& s, const Position& out, const Tap& tap) {
  const int y = out.y * s.stride_h - s.pad_h + tap.r * s.dilation_h, x = out.x * s.stride_w - s.pad_w + tap.s * s.dilation_w;
  return y >= 0 && y < s.h && x >= 0 && x < s.w ? (std::int64_t{out.n} * s.h + y) * s.w + x : -1;
}

// Each operation is a product (rows, depth) x (depth, columns) for one group; `kDepthFirst...` says along which axis neighbours
// lie together in memory.
template <class T>
struct Forward {
  static constexpr bool kDepthFirstA = true, kDepthFirstB = true;
  ConvShape s;
  const T *x, *weight, *bias;
  T* y;
  __device__ int in() const { return s.c / s.groups; }
  __device__ int out() const { return s.o / s.groups; }
  __device__ int rows() const { return s.n * s.oh * s.ow; }
  __device__ int columns() const { return out(); }
  __device__ int depth() const { return s.kh * s.kw * in(); }
  __device__ T a(int group, int row, int k) const {
    const Tap tap = tap_of(k, s, in());
    const std::int64_t pixel = input_pixel(s, position(row, s.oh, s.ow), tap);
    return pixel < 0 ? T(0) : x[pixel * s.c + group * in() + tap.channel];
  }
  __device__ T b(int group, int k, int column) const { return weight[(std::int64_t{group} * out() + column) * depth() + k]; }
  __device__ void store(int group, int row, int column, T value) const {
    const int o = group * out() + column;
    y[std::int64_t{row} * s.o + o] = value + (bias ? bias[o] : T(0));
  }
};

template <class T>
struct BackwardInput {
  static constexpr bool kDepthFirstA = true, kDepthFirstB = false;
  ConvShape s;
  const T *dy, *weight;
  T* dx;
  __device__ int in() const { return s.c / s.groups; }
  __device__ int out() const { return s.o / s.groups; }
  __device__ int rows() const { return s.n * s.h * s.w; }
  __device__ int columns() const { return in(); }
  __device__ int depth() const { return s.kh * s.kw * out(); }
  __device__ T a(int group, int row, int k) const {
    const Tap tap = tap_of(k, s, out());
    const Position at = position(row, s.h, s.w);
    const int y = at.y + s.pad_h - tap.r * s.dilation_h, x = at.x + s.pad_w - tap.s * s.dilation_w;
    if (y < 0 || x < 0 || y % s.stride_h != 0 || x % s.stride_w != 0 || y / s.stride_h >= s.oh || x / s.stride_w >= s.ow)
      return T(0);
    return dy[((std::int64_t{at.n} * s.oh + y / s.stride_h) * s.ow + x / s.stride_w) * s.o + group * out() + tap.channel];
  }
  __device__ T b(int group, int k, int column) const {
    const Tap tap = tap_of(k, s, out());
    return weight[((std::int64_t{group} * out() + tap.channel) * s.kh * s.kw + tap.r * s.kw + tap.s) * in() + column];
  }
  __device__ void store(int group, int row, int column, T value) const {
    dx[std::int64_t{row} * s.c + group * in() + column] = value;
  }
};

// One column more than the weights: ones, whose products are the bias' gradient. Partial sums of a share of the depth.
template <class T>
struct BackwardWeight {
  static constexpr bool kDepthFirstA = false, kDepthFirstB = false;
  ConvShape s;
  const T *dy, *x;
  T* partials;  // of this block's share
  bool bias;
  __device__ int in() const { return s.c / s.groups; }
  __device__ int out() const { return s.o / s.groups; }
  __device__ int weights() const { return s.kh * s.kw * in(); }
  __device__ int rows() const { return out(); }
  __device__ int columns() const { return weights() + (bias ? 1 : 0); }
  __device__ int depth() const { return s.n * s.oh * s.ow; }
  __device__ T a(int group, int row, int k) const { return dy[std::int64_t{k} * s.o + group * out() + row]; }
  __device__ T b(int group, int k, int column) const {
    if (column == weights()) return T(1);
    const Tap tap = tap_of(column, s, in());
    const std::int64_t pixel = input_pixel(s, position(k, s.oh, s.ow), tap);
    return pixel < 0 ? T(0) : x[pixel * s.c + group * in() + tap.channel];
  }
  __device__ void store(int group, int row, int column, T value) const {
    const int o = group * out() + row;
    partials[column < weights() ? std::int64_t{o} * weights() + column : std::int64_t{s.o} * weights() + o] = value;
  }
};

template <class T, class Op>
__device__ void multiply(const Op& op, int group, int first_k, int last_k) {
  __shared__ T a[kDepth][kTile + 4], b[kDepth][kTile + 4];
  const int row0 = static_cast<int>(blockIdx.x) * kTile, column0 = static_cast<int>(blockIdx.y) * kTile;
  const int thread = threadIdx.x, my_row = thread / (kTile / kEach) * kEach, my_column = thread % (kTile / kEach) * kEach;
  const int rows = op.rows(), columns = op.columns();
  T sums[kEach][kEach] = {};
  for (int k0 = first_k; k0 < last_k; k0 += kDepth) {
    for (int e = thread; e < kTile * kDepth; e += kPlainThreads) {
      const int ka = Op::kDepthFirstA ? e % kDepth : e / kTile, row = Op::kDepthFirstA ? e / kDepth : e % kTile;
      a[ka][row] = k0 + ka < last_k && row0 + row < rows ? op.a(group, row0 + row, k0 + ka) : T(0);
      const int kb = Op::kDepthFirstB ? e % kDepth : e / kTile, column = Op::kDepthFirstB ? e / kDepth : e % kTile;
      b[kb][column] = k0 + kb < last_k && column0 + column < columns ? op.b(group, k0 + kb, column0 + column) : T(0);
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; ++k)
      for (int i = 0; i < kEach; ++i)
        for (int j = 0; j < kEach; ++j) sums[i][j] += a[k][my_row + i] * b[k][my_column + j];
    __syncthreads();
  }
  for (int i = 0; i < kEach; ++i)
    for (int j = 0; j < kEach; ++j)
      if (row0 + my_row + i < rows && column0 + my_column + j < columns)
        op.store(group, row0 + my_row + i, column0 + my_column + j, sums[i][j]);
}

template <class T, class Op>
__global__ void __launch_bounds__(kPlainThreads) conv_plain_kernel(const Op op) {
  multiply<T>(op, static_cast<int>(blockIdx.z), 0, op.depth());
}

template <class T>
__global__ void __launch_bounds__(kPlainThreads) conv_plain_weight_kernel(BackwardWeight<T> op, int splits) {
  const int split = static_cast<int>(blockIdx.z) % splits, group = static_cast<int>(blockIdx.z) / splits;
  const int share = (op.depth() + splits - 1) / splits, first = split * share;
  op.partials += split * (std::int64_t{op.s.o} * op.weights() + (op.bias ? op.s.o : 0));
  multiply<T>(op, group, min(first, op.depth()), min(first + share, op.depth()));
}

unsigned tiles(std::int64_t n) { return static_cast<unsigned>((n + kTile - 1) / kTile); }

}  // namespace

template <class T>
void conv_plain_forward(const ConvShape& s, const ConvDevice& device, const T* x, const T* weight, const T* bias, T* y) {
  const dim3 grid(tiles(std::int64_t{s.n} * s.oh * s.ow), tiles(s.o / s.groups), static_cast<unsigned>(s.groups));
  conv_plain_kernel<T><<<grid, kPlainThreads, 0, device.stream>>>(Forward<T>{s, x, weight, bias, y});
}

template <class T>
void conv_plain_backward_input(const ConvShape& s, const ConvDevice& device, const T* dy, const T* weight, T* dx) {
  const dim3 grid(tiles(std::int64_t{s.n} * s.h * s.w), tiles(s.c / s.groups), static_cast<unsigned>(s.groups));
  conv_plain_kernel<T><<<grid, kPlainThreads, 0, device.stream>>>(BackwardInput<T>{s, dy, weight, dx});
}

ConvWeightPlan conv_plain_weight_plan(const ConvShape& s, const ConvDevice& device) {
  const std::int64_t pixels = std::int64_t{s.n} * s.oh * s.ow;
  const std::int64_t blocks =
      std::int64_t{tiles(s.o / s.groups)} * tiles(std::int64_t{s.taps()} * (s.c / s.groups) + 1) * s.groups;
  ConvWeightPlan plan;
  plan.splits = static_cast<int>(std::clamp<std::int64_t>(4 * device.multiprocessors / blocks, 1, pixels / 128 + 1));
  plan.floats = plan.splits * (s.weight_size() + s.o);
  return plan;
}

template <class T>
void conv_plain_backward_weight(const ConvShape& s, const ConvDevice& device, const ConvWeightPlan& plan, const T* dy,
                                const T* x, T* dweight, T* dbias, T* workspace) {
  const std::int64_t columns = std::int64_t{s.taps()} * (s.c / s.groups) + (dbias ? 1 : 0);
  const dim3 grid(tiles(s.o / s.groups), tiles(columns), static_cast<unsigned>(s.groups * plan.splits));
  const BackwardWeight<T> op{s, dy, x, workspace, dbias != nullptr};
  conv_plain_weight_kernel<T><<<grid, kPlainThreads, 0, device.stream>>>(op, plan.splits);
  conv_sum<T>(device.stream, workspace, plan.splits, s.weight_size(), dbias ? s.o : 0, dweight, dbias);
}

#define HEFT_INSTANTIATE(T)                                                                                                   \
  template void conv_plain_forward<T>(const ConvShape&, const ConvDevice&, const T*, const T*, const T*, T*);                 \
  template void conv_plain_backward_input<T>(const ConvShape&, const ConvDevice&, const T*, const T*, T*);                    \
  template void conv_plain_backward_weight<T>(const ConvShape&, const ConvDevice&, const ConvWeightPlan&, const T*, const T*, \
                                              T*, T*, T*);
HEFT_INSTANTIATE(float)
HEFT_INSTANTIATE(double)
#undef HEFT_INSTANTIATE

}  // namespace heft::cuda
