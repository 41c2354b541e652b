// Convolutions by every kernel that a GPU has for them. Which one takes a shape depends on the number of its multiprocessors,
// so images are counted by these.
#include <cmath>
#include <initializer_list>

#include "core/ops.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"
#include "tests/cuda/precision.h"

using namespace heft;
using namespace heft::test;

namespace {

struct Layer {
  double images;    // for each multiprocessor
  Shape x, weight;  // x: without the images
  Conv2dGeometry geometry;
};

constexpr Conv2dGeometry kPadded{.padding = {1, 1}};

// Hopper's blocks of pixels by channels, the largest of which there are enough: 128 x 128 twice and once on a multiprocessor,
// 256 x 64, 128 x 64, 64 x 64, 128 x 32, 64 x 32; for the gradients of weights 64 x 64 channels in each share of the pixels.
// Whole patches of 8 x 8 and others.
const Layer layers[] = {
    {3, {64, 8, 8}, {128, 64, 3, 3}, kPadded},
    {2, {64, 8, 8}, {72, 64, 3, 3}, kPadded},
    {2.25, {64, 16, 16}, {64, 64, 3, 3}, kPadded},
    {3, {64, 7, 6}, {64, 64, 3, 3}, kPadded},
    {1, {64, 8, 8}, {40, 64, 3, 3}, kPadded},
    {3, {32, 8, 8}, {32, 32, 3, 3}, kPadded},
    {1.5, {32, 7, 8}, {24, 32, 3, 3}, kPadded},
    {1, {96, 11, 13}, {52, 96, 3, 2}, {.padding = {1, 1}, .dilation = {2, 1}}},
    {1, {64, 16, 15}, {40, 64, 2, 4}, {.padding = {1, 0}, .dilation = {1, 2}}},
};

// One of any kind, the same for the same number.
Layer any_layer(std::uint64_t number) {
  RandomSequence random({.seed = number, .stream = stream_of("conv_test")});
  const auto one_of = [&](std::initializer_list<std::int64_t> choices) {
    return choices.begin()[random.below(choices.size())];
  };
  const std::int64_t in = one_of({1, 2, 3, 4, 8, 12, 16, 20, 24, 32, 40, 64}),
                     out = one_of({1, 4, 6, 8, 16, 20, 32, 40, 64, 72});
  const std::int64_t kernel_h = one_of({1, 3, 3, 3, 5}), kernel_w = one_of({1, 3, 3, 4, 5});
  const std::int64_t stride = one_of({1, 1, 2, 3}), dilation = one_of({1, 1, 1, 2});
  const Conv2dGeometry geometry{.stride = {stride, one_of({1, stride})},
                                .padding = {one_of({0, kernel_h / 2}), one_of({0, kernel_w / 2})},
                                .dilation = {dilation, one_of({1, dilation})}};
  const std::int64_t rows = one_of({10, 12, 16, 19}), columns = one_of({9, 11, 16, 21});
  return {one_of({1, 3}) / 8.0, {in, rows, columns}, {out, in, kernel_h, kernel_w}, geometry};
}

void compare(const Layer& layer, double tolerance, bool bias) {
  const auto images = static_cast<std::int64_t>(std::ceil(layer.images * cuda::multiprocessors()));
  const Shape shape{images, layer.x[0], layer.x[1], layer.x[2]};
  INFO(shape.str() << " by " << layer.weight.str());
  const Tensor x = in_bf16(normal(shape, 1, DType::f32)), w = in_bf16(normal(layer.weight, 2, DType::f32) * 0.1);
  const Tensor b = bias ? normal({layer.weight[0]}, 3, DType::f32) : Tensor();
  const auto there = [](const Tensor& t) { return t.defined() ? t.to(Device::cuda()) : t; };
  const Tensor y = conv2d(x, w, b, layer.geometry), got = conv2d(there(x), there(w), there(b), layer.geometry);
  CHECK(relative_error(got.contiguous(), y.contiguous()) < tolerance);
  const Tensor dy = in_bf16(normal(y.shape(), 4, DType::f32));
  CHECK(relative_error(conv2d_backward_input(there(dy), there(w), shape, layer.geometry).contiguous(),
                       conv2d_backward_input(dy, w, shape, layer.geometry).contiguous()) < tolerance);
  const WeightGradients want = conv2d_backward_weight(dy, x, w, bias, layer.geometry),
                        gradients = conv2d_backward_weight(there(dy), there(x), there(w), bias, layer.geometry);
  CHECK(relative_error(gradients.weight.contiguous(), want.weight.contiguous()) < 2e-5);  // f32, of factors that bf16 has
  if (bias) CHECK(relative_error(gradients.bias, want.bias) < 2e-5);
}

void compare_all(const Layer& layer, bool bias) {
  {
    const ProductsIn tf32(cuda::Precision::tf32);
    compare(layer, 2e-5, bias);
  }
  const ProductsIn bf16(cuda::Precision::bf16);
  compare(layer, 3e-3, bias);
}

}  // namespace

TEST_CASE("a GPU's convolutions agree with the CPU where Hopper's kernels take them", "[cuda][slow]") {
  if (!cuda::is_available()) HEFT_SKIP("convolutions on a GPU: " + cuda::why_unavailable());
  for (const Layer& layer : layers) compare_all(layer, false);  // with a bias, bf16's gradients of weights are others'
}

TEST_CASE("a GPU's convolutions of any kind agree with the CPU", "[cuda][slow]") {
  if (!cuda::is_available()) HEFT_SKIP("convolutions on a GPU: " + cuda::why_unavailable());
  for (std::uint64_t number = 0; number < 30; ++number) compare_all(any_layer(number), number % 2 == 0);
  // Tiles so large that shared memory holds one alone.
  compare_all({0.5, {16, 47, 47}, {16, 16, 11, 11}, {.stride = {4, 4}, .padding = {2, 2}}}, true);
  compare_all({0.5, {16, 40, 40}, {16, 16, 3, 3}, {.padding = {12, 12}, .dilation = {12, 12}}}, false);
}
