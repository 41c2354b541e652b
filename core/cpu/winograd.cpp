// The convolution and its input's gradient: transform the pixels of some tiles, multiply at each of 36 positions, transform
// back.
#include "core/cpu/winograd.h"

#include "core/cpu/layout.h"
#include "core/cpu/winograd_layout.h"
#include "core/cpu/winograd_tile.h"
#include "core/ops.h"
#include "core/parallel.h"

namespace heft::winograd {
namespace {

struct Convolution {
  Images x;
  std::int64_t padding_height, padding_width;
  const float* filters;               // (out_blocks / Pair, 36, C, Pair, W)
  const float *mean, *scale, *shift;  // Epilogue
  const float* residual;              // as y, or null
  bool relu;
  float* y;
  Grid grid;
  std::int64_t out_blocks, out_height, out_width;
};

struct Convolve {
  // (tiles, C) x (C, Pair W) at one position.
  template <int W, int Pair, int Tiles>
  HEFT_SIMD static void multiply(const float* pixels, const float* filters, std::int64_t blocks, float* out) {
    using V = simd::Vec<W>;
    V sums[Tiles][Pair] = {};
    for (std::int64_t block = 0; block < blocks; ++block, pixels += kTogether * W)
      for (int lane = 0; lane < W; ++lane, filters += Pair * W) {
        V filter[Pair];
        for (int o = 0; o < Pair; ++o) filter[o] = simd::load<W>(filters + o * W);
        for (int t = 0; t < Tiles; ++t) {
          const float pixel = pixels[t * W + lane];
          for (int o = 0; o < Pair; ++o) sums[t][o] += pixel * filter[o];
        }
      }
    for (int t = 0; t < Tiles; ++t)
      for (int o = 0; o < Pair; ++o) simd::store<W>(out + (t * Pair + o) * W, sums[t][o]);
  }

  template <int W>
  HEFT_SIMD static void write_tile(const Convolution& c, const Place& place, std::int64_t block, const float* positions,
                                   std::int64_t step) {
    using V = simd::Vec<W>;
    V half[kResults][kTile];
    for (int j = 0; j < kTile; ++j) {
      V column[kTile], rows[kResults];
      for (int i = 0; i < kTile; ++i) column[i] = simd::load<W>(positions + (i * kTile + j) * step);
      to_results<V>(column, rows);
      for (int i = 0; i < kResults; ++i) half[i][j] = rows[i];
    }
    const auto channels = [block](const float* values, float none) {
      return values ? simd::load<W>(values + block * W) : V{} + none;
    };
    const V mean = channels(c.mean, 0), scale = channels(c.scale, 1), shift = channels(c.shift, 0);
    const std::int64_t rows = std::min(kResults, c.out_height - place.top),
                       columns = std::min(kResults, c.out_width - place.left);
    std::int64_t at = (((place.image * c.out_blocks + block) * c.out_height + place.top) * c.out_width + place.left) * W;
    for (std::int64_t i = 0; i < rows; ++i, at += c.out_width * W) {
      V row[kResults];
      to_results<V>(half[i], row);
      for (std::int64_t j = 0; j < columns; ++j) {
        V y = (row[j] - mean) * scale + shift;
        if (c.residual) y += simd::load<W>(c.residual + at + j * W);
        if (c.relu) y = simd::relu<W>(y);
        simd::store<W>(c.y + at + j * W, y);
      }
    }
  }

  template <int W, int Pair, int Tiles>
  HEFT_SIMD static void tiles(const Convolution& c, std::int64_t first, std::int64_t count, float* pixels, float* results) {
    static_assert(kTogether % Tiles == 0);
    const std::int64_t pixel_step = step_of(c.x.blocks * W), result_step = step_of(Pair * W);
    for (std::int64_t t = 0; t < count; ++t) {
      const Place place(c.grid, first + t);
      for (std::int64_t block = 0; block < c.x.blocks; ++block)
        read_tile<W, kTile>(c.x, place.image, block, place.top - c.padding_height, place.left - c.padding_width,
                            pixels + (block * kTogether + t) * W, pixel_step);
    }
    for (std::int64_t block = 0; block < c.out_blocks; block += Pair) {
      const float* filters = c.filters + block * kPositions * c.x.blocks * W * W;
      for (std::int64_t position = 0; position < kPositions; ++position, filters += c.x.blocks * W * Pair * W)
        for (std::int64_t t = 0; t < count; t += Tiles)
          multiply<W, Pair, Tiles>(pixels + position * pixel_step + t * W, filters, c.x.blocks,
                                   results + position * result_step + t * Pair * W);
      for (std::int64_t t = 0; t < count; ++t)
        for (std::int64_t o = 0; o < Pair; ++o)
          write_tile<W>(c, Place(c.grid, first + t), block + o, results + (t * Pair + o) * W, result_step);
    }
  }

  template <int W>
  HEFT_SIMD static void run(const Convolution* c, std::int64_t begin, std::int64_t end, float* pixels, float* results) {
    // Sums and a pair of filters fit in 32 registers, or in 16. No more than 16 tiles: g++ unrolls no further.
    constexpr int kTiles = W == 16 ? 12 : W == 8 ? 6 : 3;
    for (std::int64_t first = begin; first < end; first += kTogether) {
      const std::int64_t count = std::min(kTogether, end - first);
      if (c->out_blocks % 2 == 0) tiles<W, 2, kTiles>(*c, first, count, pixels, results);
      else tiles<W, 1, kTiles>(*c, first, count, pixels, results);
    }
  }
};

// 3 x 3 filters. That between channels c and o begins at first + c * of_in + o * of_out; its elements are `step` apart.
struct Filters {
  const float* first;
  std::int64_t of_in, of_out, step;
};

// G g G^T in f64, of `pair` filters of a channel at a time.
struct TransformFilters {
  template <int Lanes>
  struct Vector {
    typedef double Double __attribute__((vector_size(Lanes * sizeof(double))));
  };

  template <int W>
  HEFT_SIMD static void run(const Filters* filters, std::int64_t in, std::int64_t pair, std::int64_t begin, std::int64_t end,
                            float* all) {
    constexpr int kLanes = W / 2;
    using Doubles = typename Vector<kLanes>::Double;
    const Filters f = *filters;
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t o = index / in * pair, c = index % in;
      float* to = all + o * in * kPositions + c * pair;
      const float* from = f.first + c * f.of_in + o * f.of_out;
      for (std::int64_t lane = 0; lane < pair; lane += kLanes, to += kLanes, from += kLanes * f.of_out) {
        Doubles half[kTile][3] = {};
        for (int k = 0; k < 3; ++k)
          for (int j = 0; j < 3; ++j) {
            Doubles value = {};
            for (int l = 0; l < kLanes; ++l) value[l] = from[l * f.of_out + (k * 3 + j) * f.step];
            for (int i = 0; i < kTile; ++i) half[i][j] += kFilter[i][k] * value;
          }
        for (int i = 0; i < kTile; ++i)
          for (int j = 0; j < kTile; ++j) {
            Doubles sum = {};
            for (int k = 0; k < 3; ++k) sum += kFilter[j][k] * half[i][k];
            simd::store<kLanes>(to + (i * kTile + j) * in * pair, __builtin_convertvector(sum, simd::Vec<kLanes>));
          }
      }
    }
  }
};

// As Convolve wants them.
Tensor transformed(std::int64_t out, std::int64_t in, const Filters& filters) {
  Tensor all = Tensor::empty(Shape{kPositions, out, in});
  const std::int64_t width = simd::width(), pair = out / width % 2 == 0 ? 2 * width : width;  // filters side by side
  auto* values = static_cast<float*>(all.mutable_raw());
  parallel_for(out / pair * in, std::max<std::int64_t>(256 / pair, 1), [=, &filters](std::int64_t begin, std::int64_t end) {
    simd::run<TransformFilters>(&filters, in, pair, begin, end, values);
  });
  return all;
}

Tensor convolve(const Tensor& x, const Shape& y_shape, const std::array<std::int64_t, 2>& padding, const Epilogue& epilogue,
                const Filters& plain) {
  const std::int64_t width = simd::width(), in = x.size(1), out = y_shape[1];
  const Tensor source = in_blocks(x), residual = epilogue.residual.defined() ? in_blocks(epilogue.residual) : Tensor{};
  Tensor y = Tensor::empty(y_shape, DType::f32, Device::cpu(), blocked(y_shape));
  const Tensor filters = transformed(out, in, plain);
  const Convolution work{images_of(source), padding[0],
                         padding[1],        static_cast<const float*>(filters.raw()),
                         epilogue.mean,     epilogue.scale,
                         epilogue.shift,    residual.defined() ? static_cast<const float*>(residual.raw()) : nullptr,
                         epilogue.relu,     static_cast<float*>(y.mutable_raw()),
                         grid_of(y_shape),  out / width,
                         y_shape[2],        y_shape[3]};
  const std::int64_t groups = (work.grid.count() + kTogether - 1) / kTogether;
  parallel_for(groups, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t pixels = kPositions * step_of(in), results = kPositions * step_of(2 * width);
    float* space = scratch(pixels + results);
    simd::run<Convolve>(&work, begin * kTogether, std::min(end * kTogether, work.grid.count()), space, space + pixels);
  });
  return y;
}

}  // namespace

bool suits(const Shape& x, const Shape& weight, const Conv2dGeometry& g) {
  const std::int64_t width = simd::width();
  if (width < 8) return false;
  const auto is = [](const std::array<std::int64_t, 2>& pair, std::int64_t value) {
    return pair[0] == value && pair[1] == value;
  };
  const bool plain = weight[2] == 3 && weight[3] == 3 && g.groups == 1 && is(g.stride, 1) && is(g.dilation, 1) &&
                     g.padding[0] <= 2 && g.padding[1] <= 2;
  if (!plain || weight[0] % width != 0 || weight[1] % width != 0) return false;
  const Shape y = conv2d_shape(x, weight, g);
  const std::int64_t tiles = grid_of(y).count();
  // Results that tiles reach beyond the image are lost, and so is the transformation of filters for few tiles.
  return tiles >= 4 * kTogether && 2 * tiles * kResults * kResults <= 3 * y[0] * y[2] * y[3];
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Conv2dGeometry& geometry, const Epilogue& epilogue) {
  const Tensor rows = weight.contiguous();
  return convolve(x, conv2d_shape(x.shape(), weight.shape(), geometry), geometry.padding, epilogue,
                  {static_cast<const float*>(rows.raw()), 9, weight.size(1) * 9, 1});
}

// The convolution of dy by the filters turned by half a turn and with their channels swapped.
Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape, const Conv2dGeometry& geometry) {
  const Tensor rows = weight.contiguous();
  return convolve(dy, x_shape, {2 - geometry.padding[0], 2 - geometry.padding[1]}, {},
                  {static_cast<const float*>(rows.raw()) + 8, weight.size(1) * 9, 9, -1});
}

}  // namespace heft::winograd
