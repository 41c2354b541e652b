// Convolution and its gradients with images in lanes: a tile of sums stays in registers while the window passes over it.
#include <algorithm>
#include <vector>

#include "core/cpu/lanes.h"
#include "core/cpu/layout.h"
#include "core/cpu/simd.h"
#include "core/cpu/small.h"
#include "core/ops.h"
#include "core/parallel.h"

namespace heft::lanes {
namespace {

constexpr std::int64_t kMostChannels = 32;
constexpr std::int64_t kGrain = 1 << 18;  // multiply-adds below which a second thread costs more than it brings

// Channels out of a tile; the one of the two that leaves fewer of them empty.
std::int64_t tile_of(std::int64_t channels) { return (channels + 2) / 3 * 3 < (channels + 3) / 4 * 4 ? 3 : 4; }

// In units of "steps": how far neighbours in a row lie apart, 16 floats where 16 images lie in the lanes and 1 where the
// pixels of one image's row do.
struct Convolution {
  const float* x;        // bordered: (blocks or images, C, H, W) steps
  const float* weights;  // (O / tile, C, kh, kw, tile), zeros where O does not divide
  const float* bias;     // (O) up to a multiple of the tile
  float* y;              // (blocks or images, O, H', W') steps
  std::int64_t channels, height, width, kernel_height, kernel_width;
  std::int64_t out_channels, out_height, out_width;
  bool relu;
};

template <std::int64_t Step>
struct Convolve {
  // `Out` channels of `Wide` vectors in a row of y; the last one's first `valid` floats are.
  template <int W, int Out, int Wide>
  HEFT_SIMD static void tile(const Convolution& c, const float* x, const float* weights, const float* bias, float* y,
                             std::int64_t filled, std::int64_t valid) {
    using V = simd::Vec<W>;
    constexpr std::int64_t kNext = Step == 1 ? W : Step;
    V sums[Out][Wide];
    for (int o = 0; o < Out; ++o)
      for (int t = 0; t < Wide; ++t) sums[o][t] = V{} + bias[o];
    for (std::int64_t channel = 0; channel < c.channels; ++channel)
      for (std::int64_t i = 0; i < c.kernel_height; ++i) {
        const float* row = x + (channel * c.height + i) * c.width * Step;
        for (std::int64_t j = 0; j < c.kernel_width; ++j, row += Step, weights += Out) {
          V in[Wide];
          for (int t = 0; t < Wide; ++t) in[t] = simd::load<W>(row + t * kNext);
          for (int o = 0; o < Out; ++o)
            for (int t = 0; t < Wide; ++t) sums[o][t] += in[t] * weights[o];
        }
      }
    const std::int64_t plane = c.out_height * c.out_width * Step;
    for (int o = 0; o < Out; ++o) {
      if (o >= filled) break;
      for (int t = 0; t < Wide; ++t) {
        const V sum = c.relu ? simd::relu<W>(sums[o][t]) : sums[o][t];
        float* to = y + o * plane + t * kNext;
        if (Step == 1 && t == Wide - 1 && valid < W) simd::store_first<W>(to, sum, valid);
        else simd::store<W>(to, sum);
      }
    }
  }

  // A row of y, `Wide` vectors at a time, then fewer.
  template <int W, int Out, int Wide>
  HEFT_SIMD static void row(const Convolution& c, const float* x, const float* weights, const float* bias, float* y,
                            std::int64_t filled) {
    constexpr std::int64_t kNext = Step == 1 ? W : Step, kHalf = Wide / 2;
    const std::int64_t vectors = Step == 1 ? (c.out_width + W - 1) / W : c.out_width, spare = vectors * W - c.out_width;
    std::int64_t at = 0;
    for (; at + Wide <= vectors; at += Wide)
      tile<W, Out, Wide>(c, x + at * kNext, weights, bias, y + at * kNext, filled, at + Wide == vectors ? W - spare : W);
    for (; at + kHalf <= vectors; at += kHalf)
      tile<W, Out, kHalf>(c, x + at * kNext, weights, bias, y + at * kNext, filled, at + kHalf == vectors ? W - spare : W);
    for (; at < vectors; ++at)
      tile<W, Out, 1>(c, x + at * kNext, weights, bias, y + at * kNext, filled, at + 1 == vectors ? W - spare : W);
  }

  template <int W, int Out>
  HEFT_SIMD static void rows(const Convolution& c, std::int64_t begin, std::int64_t end) {
    // Sums, what comes in and one weight fit in 32 registers, or in 16. A row of pixels is seldom longer than two vectors.
    constexpr int kWide = Step == 1 ? 2 : W == 16 ? (Out == 3 ? 7 : 5) : (Out == 3 ? 3 : 2);
    const std::int64_t taps = c.channels * c.kernel_height * c.kernel_width;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t block = r / c.out_height, h = r % c.out_height;
      for (std::int64_t o = 0; o < c.out_channels; o += Out)
        for (std::int64_t part = 0; part < Step; part += W)
          row<W, Out, kWide>(c, c.x + (block * c.channels * c.height + h) * c.width * Step + part, c.weights + o * taps,
                             c.bias + o, c.y + ((block * c.out_channels + o) * c.out_height + h) * c.out_width * Step + part,
                             c.out_channels - o);
    }
  }

  template <int W>
  HEFT_SIMD static void run(const Convolution* c, std::int64_t begin, std::int64_t end) {
    if (tile_of(c->out_channels) == 3) rows<W, 3>(*c, begin, end);
    else rows<W, 4>(*c, begin, end);
  }
};

// y = x convolved with `weight_at(o, c, i, j)`: images in lanes, or the pixels of a row.
template <std::int64_t Step, class WeightAt>
void convolve(const Bordered& x, Tensor& y, std::int64_t kernel_height, std::int64_t kernel_width, const WeightAt& weight_at,
              const float* bias, bool relu) {
  const std::int64_t out = y.size(1), tile = tile_of(out), all = (out + tile - 1) / tile * tile;
  std::vector<float> weights(static_cast<std::size_t>(all * x.channels * kernel_height * kernel_width)),
      biases(static_cast<std::size_t>(all));
  if (bias) std::copy_n(bias, out, biases.begin());
  for (std::int64_t o = 0; o < out; ++o) {
    float* to = weights.data() + o / tile * tile * x.channels * kernel_height * kernel_width + o % tile;
    for (std::int64_t c = 0; c < x.channels; ++c)
      for (std::int64_t i = 0; i < kernel_height; ++i)
        for (std::int64_t j = 0; j < kernel_width; ++j, to += tile) *to = weight_at(o, c, i, j);
  }
  const Convolution work{x.data,        weights.data(),
                         biases.data(), static_cast<float*>(y.mutable_raw()),
                         x.channels,    x.height,
                         x.width,       kernel_height,
                         kernel_width,  out,
                         y.size(2),     y.size(3),
                         relu};
  const std::int64_t row = static_cast<std::int64_t>(weights.size()) * y.size(3) * Step;
  parallel_for(x.blocks * y.size(2), std::max<std::int64_t>(kGrain / row, 1),
               [&work](std::int64_t begin, std::int64_t end) { simd::run<Convolve<Step>>(&work, begin, end); });
}

Tensor empty_inside(const Shape& shape) { return Tensor::empty(shape, DType::f32, Device::cpu(), inside(shape)); }

struct WeightGradient {
  const float* x;   // bordered: (blocks, C, H, W, 16)
  const float* dy;  // (blocks, O, H', W', 16)
  std::int64_t blocks, groups;
  std::int64_t channels, height, width, kernel_height, kernel_width;
  std::int64_t out_channels, out_height, out_width;
  float* weights;  // (groups, O, C, kh, kw), zeros
  float* biases;   // (groups, O), zeros; or null
};

struct AddWeightGradient {
  // `Out` channels and `Taps` neighbours in a row of the window. x and dy: where the block's first products are.
  template <int W, int Out, int Taps>
  HEFT_SIMD static void tile(const WeightGradient& g, const float* x, const float* dy, float* out) {
    using V = simd::Vec<W>;
    V sums[Out][Taps] = {};
    const std::int64_t plane = g.out_height * g.out_width * kLanes;
    for (std::int64_t h = 0; h < g.out_height; ++h)
      for (std::int64_t at = 0; at < g.out_width; ++at)
        for (std::int64_t part = 0; part < kLanes; part += W) {
          const float* in = x + (h * g.width + at) * kLanes + part;
          const float* d = dy + (h * g.out_width + at) * kLanes + part;
          V gradient[Out];
          for (int o = 0; o < Out; ++o) gradient[o] = simd::load<W>(d + o * plane);
          for (int t = 0; t < Taps; ++t) {
            const V value = simd::load<W>(in + t * kLanes);
            for (int o = 0; o < Out; ++o) sums[o][t] += gradient[o] * value;
          }
        }
    const std::int64_t step = g.channels * g.kernel_height * g.kernel_width;
    for (int o = 0; o < Out; ++o)
      for (int t = 0; t < Taps; ++t) out[o * step + t] += simd::sum<W>(0, sums[o][t]);
  }

  template <int W, int Out>
  HEFT_SIMD static void channels_out(const WeightGradient& g, std::int64_t block, std::int64_t o, float* out) {
    const float* dy = g.dy + (block * g.out_channels + o) * g.out_height * g.out_width * kLanes;
    for (std::int64_t c = 0; c < g.channels; ++c)
      for (std::int64_t i = 0; i < g.kernel_height; ++i) {
        const float* x = g.x + ((block * g.channels + c) * g.height + i) * g.width * kLanes;
        float* row = out + ((o * g.channels + c) * g.kernel_height + i) * g.kernel_width;
        std::int64_t j = 0;
        for (; j + 5 <= g.kernel_width; j += 5) tile<W, Out, 5>(g, x + j * kLanes, dy, row + j);
        for (; j + 3 <= g.kernel_width; j += 3) tile<W, Out, 3>(g, x + j * kLanes, dy, row + j);
        for (; j < g.kernel_width; ++j) tile<W, Out, 1>(g, x + j * kLanes, dy, row + j);
      }
  }

  template <int W>
  HEFT_SIMD static void run(const WeightGradient* g, std::int64_t begin, std::int64_t end) {
    constexpr int kOut = W == 16 ? 4 : 2;
    const std::int64_t plane = g->out_height * g->out_width * kLanes;
    for (std::int64_t group = begin; group < end; ++group)
      for (std::int64_t block = g->blocks * group / g->groups; block < g->blocks * (group + 1) / g->groups; ++block) {
        float* out = g->weights + group * g->out_channels * g->channels * g->kernel_height * g->kernel_width;
        std::int64_t o = 0;
        for (; o + kOut <= g->out_channels; o += kOut) channels_out<W, kOut>(*g, block, o, out);
        for (; o + 2 <= g->out_channels; o += 2) channels_out<W, 2>(*g, block, o, out);
        for (; o < g->out_channels; ++o) channels_out<W, 1>(*g, block, o, out);
        for (o = 0; g->biases && o < g->out_channels; ++o) {
          simd::Vec<W> sums = {};
          const float* dy = g->dy + (block * g->out_channels + o) * plane;
          for (std::int64_t at = 0; at < plane; at += W) sums += simd::load<W>(dy + at);
          g->biases[group * g->out_channels + o] += simd::sum<W>(0, sums);
        }
      }
  }
};

bool geometry_suits(const Shape& weight, const Conv2dGeometry& g) {
  const auto pads = [](std::int64_t channels) { return channels % 8 != 0; };
  const bool plain = g.groups == 1 && g.stride[0] == 1 && g.stride[1] == 1 && g.dilation[0] == 1 && g.dilation[1] == 1 &&
                     g.padding[0] < weight[2] && g.padding[1] < weight[3];
  // Up to 3 channels oneDNN has kernels that do not pad what comes in.
  return plain && (pads(weight[0]) || (weight[1] > 3 && pads(weight[1]))) && weight[0] <= kMostChannels &&
         weight[1] <= kMostChannels;
}

}  // namespace

bool images_suit(const Shape& x, const Shape& weight, const Conv2dGeometry& g) {
  return geometry_suits(weight, g) && 4 * x[0] >= 3 * ((x[0] + kLanes - 1) / kLanes * kLanes);
}

bool pixels_suit(const Shape& x, const Shape& weight, const Conv2dGeometry& g) {
  return geometry_suits(weight, g) && x[0] <= 4;
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& g, bool relu) {
  const Tensor rows = weight.contiguous();
  const auto* w = static_cast<const float*>(rows.raw());
  const float* b = bias.defined() ? static_cast<const float*>(bias.raw()) : nullptr;
  const std::int64_t channels = weight.size(1), height = weight.size(2), width = weight.size(3);
  const auto weight_at = [=](std::int64_t o, std::int64_t c, std::int64_t i, std::int64_t j) {
    return w[((o * channels + c) * height + i) * width + j];
  };
  const Shape shape = conv2d_shape(x.shape(), weight.shape(), g);
  if (pixels_suit(x.shape(), weight.shape(), g)) {
    Tensor y = Tensor::empty(shape);
    convolve<1>(bordered_rows(x, g.padding[0], g.padding[1]), y, height, width, weight_at, b, relu);
    return y;
  }
  Tensor y = empty_inside(shape);
  convolve<kLanes>(bordered(x, g.padding[0], g.padding[1]), y, height, width, weight_at, b, relu);
  clear_spare_lanes(y);
  return y;
}

// The convolution of dy, with enough of a border, by the weights turned by half a turn and with their channels swapped.
Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape, const Conv2dGeometry& g) {
  const Tensor rows = weight.contiguous();
  const auto* w = static_cast<const float*>(rows.raw());
  const std::int64_t channels = weight.size(1), height = weight.size(2), width = weight.size(3);
  Tensor dx = empty_inside(x_shape);
  convolve<kLanes>(
      bordered(dy, height - 1 - g.padding[0], width - 1 - g.padding[1]), dx, height, width,
      [=](std::int64_t c, std::int64_t o, std::int64_t i, std::int64_t j) {
        return w[((o * channels + c) * height + height - 1 - i) * width + width - 1 - j];
      },
      nullptr, false);
  clear_spare_lanes(dx);
  return dx;
}

WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Shape& weight_shape, bool want_bias,
                                       const Conv2dGeometry& geometry) {
  constexpr std::int64_t kMostGroups = 16;
  const Bordered in = bordered(x, geometry.padding[0], geometry.padding[1]), d = bordered(dy, 0, 0);
  const std::int64_t groups = std::min(in.blocks, kMostGroups);
  const std::int64_t size = weight_shape.numel();
  Tensor weights = Tensor::zeros(Shape{groups * size}), biases = Tensor::zeros(Shape{groups * d.channels});
  auto *weight_sums = static_cast<float*>(weights.mutable_raw()), *bias_sums = static_cast<float*>(biases.mutable_raw());
  const WeightGradient work{
      in.data,         d.data,          in.blocks,  groups,   in.channels, in.height,   in.width,
      weight_shape[2], weight_shape[3], d.channels, d.height, d.width,     weight_sums, want_bias ? bias_sums : nullptr};
  const std::int64_t cost = size * d.height * d.width * kLanes * (in.blocks / groups);
  parallel_for(groups, std::max<std::int64_t>(kGrain / cost, 1),
               [&work](std::int64_t begin, std::int64_t end) { simd::run<AddWeightGradient>(&work, begin, end); });
  small::add_groups(weight_sums, groups, size);
  small::add_groups(bias_sums, groups, d.channels);
  return {weights.slice(0, 0, size).clone().reshape(weight_shape),
          want_bias ? biases.slice(0, 0, d.channels).clone() : Tensor{}};
}

}  // namespace heft::lanes
