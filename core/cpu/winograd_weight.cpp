// The weight's gradient: at each of 36 positions, the products of all tiles' pixels and gradients, transformed back at the end.
#include "core/cpu/small.h"
#include "core/cpu/winograd.h"
#include "core/cpu/winograd_layout.h"
#include "core/cpu/winograd_tile.h"
#include "core/parallel.h"

namespace heft::winograd {
namespace {

// Tiles are summed in groups, output channels in parts: one task each. Every group has sums of its own, since floats added in
// another order give another result.
struct Task {
  std::int64_t first_tile, last_tile;    // of all
  std::int64_t first_block, last_block;  // of output channels
  float* sums;                           // (36, C, O), of the group
  float* bias;                           // (O), likewise; or null
};

struct Gradient {
  Images x, dy;
  std::int64_t padding_height, padding_width;
  Grid grid;
};

struct AddProducts {
  // sums (Channels, Pair W) += pixels (tiles, Channels)^T gradients (tiles, Pair W), for channels of one block.
  template <int W, int Pair, int Channels>
  HEFT_SIMD static void multiply(const float* pixels, const float* gradients, std::int64_t count, std::int64_t out,
                                 float* sums) {
    using V = simd::Vec<W>;
    V all[Channels][Pair];
    for (int c = 0; c < Channels; ++c)
      for (int o = 0; o < Pair; ++o) all[c][o] = simd::load<W>(sums + c * out + o * W);
    for (std::int64_t t = 0; t < count; ++t, pixels += W, gradients += W) {
      V gradient[Pair];
      for (int o = 0; o < Pair; ++o) gradient[o] = simd::load<W>(gradients + o * kTogether * W);
      for (int c = 0; c < Channels; ++c)
        for (int o = 0; o < Pair; ++o) all[c][o] += pixels[c] * gradient[o];
    }
    for (int c = 0; c < Channels; ++c)
      for (int o = 0; o < Pair; ++o) simd::store<W>(sums + c * out + o * W, all[c][o]);
  }

  template <int W, int Pair>
  HEFT_SIMD static void position(const Gradient& g, const Task& task, const float* pixels, const float* gradients,
                                 std::int64_t count, float* sums) {
    constexpr int kChannels = W == 16 ? 8 : 4;  // sums and a pair of gradients fit in 32 registers, or in 16
    const std::int64_t out = g.dy.blocks * W;
    for (std::int64_t block = 0; block < g.x.blocks; ++block)
      for (std::int64_t lane = 0; lane < W; lane += kChannels)
        for (std::int64_t o = task.first_block; o < task.last_block; o += Pair)
          multiply<W, Pair, kChannels>(pixels + block * kTogether * W + lane,
                                       gradients + (o - task.first_block) * kTogether * W, count, out,
                                       sums + (block * W + lane) * out + o * W);
  }

  template <int W>
  HEFT_SIMD static void run(const Gradient* g, const Task* task, float* pixels, float* gradients) {
    const std::int64_t pixel_step = step_of(g->x.blocks * W),
                       gradient_step = step_of((task->last_block - task->first_block) * W);
    const std::int64_t all = g->x.blocks * g->dy.blocks * W * W;
    for (std::int64_t first = task->first_tile; first < task->last_tile; first += kTogether) {
      const std::int64_t count = std::min(kTogether, task->last_tile - first);
      for (std::int64_t t = 0; t < count; ++t) {
        const Place place(g->grid, first + t);
        for (std::int64_t block = 0; block < g->x.blocks; ++block)
          read_tile<W, kTile>(g->x, place.image, block, place.top - g->padding_height, place.left - g->padding_width,
                              pixels + (block * kTogether + t) * W, pixel_step);
        for (std::int64_t block = task->first_block; block < task->last_block; ++block) {
          read_tile<W, kResults>(g->dy, place.image, block, place.top, place.left,
                                 gradients + ((block - task->first_block) * kTogether + t) * W, gradient_step);
          if (task->bias) add_gradients<W>(g->dy, place.image, block, place.top, place.left, task->bias + block * W);
        }
      }
      for (std::int64_t p = 0; p < kPositions; ++p) {
        const float *in = pixels + p * pixel_step, *d = gradients + p * gradient_step;
        if ((task->last_block - task->first_block) % 2 == 0) position<W, 2>(*g, *task, in, d, count, task->sums + p * all);
        else position<W, 1>(*g, *task, in, d, count, task->sums + p * all);
      }
    }
  }
};

// G^T u G of the filters between one channel and W others.
struct TransformBack {
  template <int W>
  HEFT_SIMD static void run(const float* sums, std::int64_t out, std::int64_t in, std::int64_t channel, float* to) {
    using V = simd::Vec<W>;
    for (std::int64_t o = 0; o < out; o += W) {
      const float* from = sums + channel * out + o;
      V half[3][6] = {}, filter[3][3] = {};
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < 6; ++j) {
          const V position = simd::load<W>(from + (i * kTile + j) * out * in);
          for (int k = 0; k < 3; ++k) half[k][j] += static_cast<float>(kFilter[i][k]) * position;
        }
      for (int k = 0; k < 3; ++k)
        for (int l = 0; l < 3; ++l)
          for (int j = 0; j < 6; ++j) filter[k][l] += static_cast<float>(kFilter[j][l]) * half[k][j];
      for (int lane = 0; lane < W; ++lane)
        for (int k = 0; k < 3; ++k)
          for (int l = 0; l < 3; ++l) to[((o + lane) * in + channel) * 9 + k * 3 + l] = filter[k][l][lane];
    }
  }
};

constexpr std::int64_t kSumBytes = 2 << 20;  // of all groups, where more than two are left
constexpr std::int64_t kTasks = 8;

}  // namespace

WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Shape& weight_shape, bool want_bias,
                                       const Conv2dGeometry& geometry) {
  const std::int64_t width = simd::width(), out = weight_shape[0], in = weight_shape[1], sum_size = kPositions * in * out;
  const Tensor pixels = in_blocks(x), results = in_blocks(dy);
  const Gradient work{images_of(pixels), images_of(results), geometry.padding[0], geometry.padding[1], grid_of(dy.shape())};
  const std::int64_t tiles = work.grid.count(), blocks = out / width;
  // As many groups as keep their sums small, but work for two threads; parts of output channels where that leaves few tasks.
  const std::int64_t most = std::min(kSumBytes / (sum_size * static_cast<std::int64_t>(sizeof(float))), tiles / kTogether);
  const std::int64_t groups = std::clamp<std::int64_t>(most, 2, kTasks);
  const std::int64_t pairs = blocks % 2 == 0 ? blocks / 2 : blocks, parts = std::clamp<std::int64_t>(kTasks / groups, 1, pairs);
  Tensor sums = Tensor::zeros(Shape{groups * sum_size}), bias = Tensor::zeros(Shape{groups * out});
  auto *sum = static_cast<float*>(sums.mutable_raw()), *bias_sum = static_cast<float*>(bias.mutable_raw());
  parallel_for(groups * parts, 1, [&, sum, bias_sum](std::int64_t begin, std::int64_t end) {
    const std::int64_t pixel_floats = kPositions * step_of(in);
    float* space = scratch(pixel_floats + kPositions * step_of(out));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t group = task / parts, part = task % parts;
      const Task one{tiles * group / groups,
                     tiles * (group + 1) / groups,
                     pairs * part / parts * (blocks / pairs),
                     pairs * (part + 1) / parts * (blocks / pairs),
                     sum + group * sum_size,
                     want_bias ? bias_sum + group * out : nullptr};
      simd::run<AddProducts>(&work, &one, space, space + pixel_floats);
    }
  });
  small::add_groups(sum, groups, sum_size);
  small::add_groups(bias_sum, groups, out);
  WeightGradients gradients{Tensor::empty(weight_shape), want_bias ? bias.slice(0, 0, out).clone() : Tensor{}};
  auto* to = static_cast<float*>(gradients.weight.mutable_raw());
  parallel_for(in, std::max<std::int64_t>(1024 / out, 1), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t channel = begin; channel < end; ++channel) simd::run<TransformBack>(sum, out, in, channel, to);
  });
  return gradients;
}

}  // namespace heft::winograd
