#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/augment_support.h"

namespace heft::data {

namespace {

// The row or column of the image that lies at `i`, which is outside by less than n; -1 where it is black.
std::int64_t inside(std::int64_t i, std::int64_t n, Padding mode) {
  if (i >= 0 && i < n) return i;
  if (mode == Padding::zero) return -1;
  return i < 0 ? -i : 2 * (n - 1) - i;
}

// to[y][x] = from[y + dy][x + dx], both dense and of the same extent.
void shift(const float* from, float* to, const Extent& extent, std::int64_t dy, std::int64_t dx, Padding mode) {
  const std::int64_t w = extent.width;
  const std::int64_t left = std::max<std::int64_t>(0, -dx), right = std::min(w, w - dx);  // columns from inside the image
  for (std::int64_t c = 0; c < extent.channels; ++c, from += extent.height * w)
    for (std::int64_t y = 0; y < extent.height; ++y, to += w) {
      const std::int64_t row = inside(y + dy, extent.height, mode);
      if (row < 0) {
        std::fill_n(to, w, 0.0f);
        continue;
      }
      const float* source = from + row * w;
      const auto border = [&](std::int64_t x) {
        const std::int64_t column = inside(x + dx, w, mode);
        to[x] = column < 0 ? 0.0f : source[column];
      };
      for (std::int64_t x = 0; x < left; ++x) border(x);
      std::copy(source + left + dx, source + right + dx, to + left);
      for (std::int64_t x = right; x < w; ++x) border(x);
    }
}

}  // namespace

Augmentation compose(std::vector<Augmentation> steps) {
  for (std::size_t i = 0; i < steps.size(); ++i)
    check(steps[i] != nullptr, "compose", "expected a function; step {} is empty", i);
  return [steps = std::move(steps)](Batch& batch, std::span<const RandomKey> keys) {
    std::vector<RandomKey> own(keys.size());
    for (std::size_t step = 0; step < steps.size(); ++step) {
      for (std::size_t i = 0; i < keys.size(); ++i) {
        own[i] = keys[i];
        own[i].stream = stream_of("data.augment.step", keys[i].stream, step);
      }
      steps[step](batch, own);
    }
  };
}

Augmentation pad_and_crop(const PadAndCropOptions& options) {
  constexpr const char* kOp = "pad_and_crop";
  check(options.padding >= 1, kOp, "expected padding >= 1; got {}", options.padding);
  return [options](Batch& batch, std::span<const RandomKey> keys) {
    const Extent extent = extent_of(kOp, batch, keys);
    check<ShapeError>(options.padding < extent.height && options.padding < extent.width, kOp,
                      "expected images larger than the padding, {}; got {}", options.padding, batch.images.shape());
    std::vector<float> original(static_cast<std::size_t>(extent.numel()));
    for_each_image(batch, keys, extent, [&](float* image, RandomSequence& random) {
      const std::int64_t dy = below(random, 2 * options.padding + 1) - options.padding;
      const std::int64_t dx = below(random, 2 * options.padding + 1) - options.padding;
      std::copy_n(image, extent.numel(), original.data());
      shift(original.data(), image, extent, dy, dx, options.mode);
    });
  };
}

Augmentation horizontal_flip(const FlipOptions& options) {
  constexpr const char* kOp = "horizontal_flip";
  check(options.probability >= 0 && options.probability <= 1, kOp, "expected probability in [0, 1]; got {}",
        options.probability);
  return [options](Batch& batch, std::span<const RandomKey> keys) {
    const Extent extent = extent_of(kOp, batch, keys);
    for_each_image(batch, keys, extent, [&](float* image, RandomSequence& random) {
      if (random.uniform() >= options.probability) return;
      for (float* row = image; row != image + extent.numel(); row += extent.width) std::reverse(row, row + extent.width);
    });
  };
}

Augmentation cutout(const CutoutOptions& options) {
  constexpr const char* kOp = "cutout";
  check(options.size >= 1, kOp, "expected size >= 1; got {}", options.size);
  for (const double value : options.fill)
    check(std::isfinite(value), kOp, "expected finite values to fill with; got {}", value);
  return [options](Batch& batch, std::span<const RandomKey> keys) {
    const Extent extent = extent_of(kOp, batch, keys);
    check<ShapeError>(options.fill.empty() || static_cast<std::int64_t>(options.fill.size()) == extent.channels, kOp,
                      "expected fill to have a value for each channel, {}; got {}", extent.channels, options.fill.size());
    for_each_image(batch, keys, extent, [&](float* image, RandomSequence& random) {
      const std::int64_t top = below(random, extent.height) - options.size / 2;
      const std::int64_t left = below(random, extent.width) - options.size / 2;
      const std::int64_t x = std::max<std::int64_t>(left, 0), columns = std::min(left + options.size, extent.width) - x;
      for (std::int64_t c = 0; c < extent.channels; ++c) {
        const auto value = options.fill.empty() ? 0.0f : static_cast<float>(options.fill[static_cast<std::size_t>(c)]);
        for (std::int64_t y = std::max<std::int64_t>(top, 0); y < std::min(top + options.size, extent.height); ++y)
          std::fill_n(image + (c * extent.height + y) * extent.width + x, columns, value);
      }
    });
  };
}

}  // namespace heft::data
