// Rows and columns of images left out, zero channels added before and after: the shortcut of a residual network where its shape
// changes. In the blocked format that convolutions leave, without a copy in another.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/layout.h"
#include "core/parallel.h"

namespace heft {
namespace {

// (N, channels / block, H, W, block), channels padded to whole blocks.
struct Blocked {
  std::int64_t block, blocks, height, width;

  Blocked(const Shape& shape, std::int64_t side_by_side)
      : block(side_by_side), blocks((shape[1] + block - 1) / block), height(shape[2]), width(shape[3]) {}
  std::int64_t at(std::int64_t n, std::int64_t channel, std::int64_t row, std::int64_t column) const {
    return (((n * blocks + channel / block) * height + row) * width + column) * block + channel % block;
  }
};

// 16 or 8 channels side by side; 0: another layout.
std::int64_t block_of(const Tensor& x) {
  if (!x.is_opaque() || x.dtype() != DType::f32) return 0;
  for (const std::int64_t block : {16, 8})
    if (x.layout() == onednn::channels_in_blocks(x.shape(), block)) return block;
  return 0;
}

// f(n, block, row) for all rows of blocks of these images.
template <class F>
void for_each_row(const Shape& shape, const Blocked& form, F f) {
  const std::int64_t rows = form.blocks * form.height, floats = std::max<std::int64_t>(form.width * form.block, 1);
  parallel_for(shape[0] * rows, 16384 / floats + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) f(i / rows, i % rows / form.height, i % form.height);
  });
}

}  // namespace

Tensor CpuBackend::subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after) {
  const std::int64_t block = block_of(x);
  if (block == 0) return HostBackend::subsample(x, stride, before, after);
  const Shape& s = x.shape();
  const Shape shape{s[0], before + s[1] + after, (s[2] + stride - 1) / stride, (s[3] + stride - 1) / stride};
  Tensor y = Tensor::empty(shape, DType::f32, Device::cpu(), onednn::channels_in_blocks(shape, block));
  const Blocked from(s, block), to(shape, block);
  const std::int64_t run = std::gcd(std::gcd(before, s[1]), block);  // channels that stay together
  const auto* px = static_cast<const float*>(x.raw());
  auto* py = static_cast<float*>(y.mutable_raw());
  for_each_row(shape, to, [&](std::int64_t n, std::int64_t b, std::int64_t row) {
    float* target = py + to.at(n, b * block, row, 0);
    for (std::int64_t column = 0; column < to.width; ++column)
      for (std::int64_t c = b * block; c < (b + 1) * block; c += run, target += run) {
        const auto bytes = static_cast<std::size_t>(run) * sizeof(float);
        if (c < before || c >= before + s[1]) std::memset(target, 0, bytes);
        else std::memcpy(target, px + from.at(n, c - before, row * stride, column * stride), bytes);
      }
  });
  return y;
}

Tensor CpuBackend::subsample_backward(const Tensor& dy, const Shape& s, std::int64_t stride, std::int64_t before) {
  const std::int64_t block = block_of(dy);
  if (block == 0) return HostBackend::subsample_backward(dy, s, stride, before);
  Tensor dx = Tensor::empty(s, DType::f32, Device::cpu(), onednn::channels_in_blocks(s, block));
  const Blocked from(dy.shape(), block), to(s, block);
  const std::int64_t run = std::gcd(std::gcd(before, s[1]), block);
  const auto* pdy = static_cast<const float*>(dy.raw());
  auto* pdx = static_cast<float*>(dx.mutable_raw());
  for_each_row(s, to, [&](std::int64_t n, std::int64_t b, std::int64_t row) {
    float* target = pdx + to.at(n, b * block, row, 0);
    std::memset(target, 0, static_cast<std::size_t>(to.width * block) * sizeof(float));
    if (row % stride != 0) return;
    for (std::int64_t column = 0; column < to.width; column += stride)
      for (std::int64_t c = b * block; c < std::min((b + 1) * block, s[1]); c += run)
        std::memcpy(target + column * block + c % block, pdy + from.at(n, before + c, row / stride, column / stride),
                    static_cast<std::size_t>(run) * sizeof(float));
  });
  return dx;
}

}  // namespace heft
