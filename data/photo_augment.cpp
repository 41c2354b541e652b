#include "data/photo_augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "data/augment_support.h"
#include "data/resize_loop.h"

namespace heft::data {

namespace {

double between(RandomSequence& random, double low, double high) { return low + (high - low) * random.uniform(); }

Box draw_box(RandomSequence& random, const Extent& extent, const RandomResizedCropOptions& options) {
  const auto height = static_cast<double>(extent.height), width = static_cast<double>(extent.width);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = height * width * between(random, options.min_area, options.max_area);
    const double ratio = std::exp(between(random, std::log(options.min_ratio), std::log(options.max_ratio)));
    const std::int64_t w = std::llround(std::sqrt(area * ratio)), h = std::llround(std::sqrt(area / ratio));
    if (w < 1 || h < 1 || w > extent.width || h > extent.height) continue;
    return {.top = static_cast<double>(below(random, extent.height - h + 1)),
            .left = static_cast<double>(below(random, extent.width - w + 1)),
            .height = static_cast<double>(h),
            .width = static_cast<double>(w)};
  }
  const double ratio = std::clamp(width / height, options.min_ratio, options.max_ratio);
  Box box{.top = 0, .left = 0, .height = std::min(height, width / ratio), .width = std::min(width, height * ratio)};
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

float grey_of(const float* image, std::int64_t area, std::int64_t channels, std::int64_t i) {
  return channels == 1 ? image[i] : 0.299f * image[i] + 0.587f * image[area + i] + 0.114f * image[2 * area + i];
}

float cut_off(float value) { return std::clamp(value, 0.0f, 1.0f); }

void change_brightness(float* image, const Extent& extent, float factor) {
  for (std::int64_t i = 0; i < extent.numel(); ++i) image[i] = cut_off(image[i] * factor);
}

void change_contrast(float* image, const Extent& extent, float factor) {
  const std::int64_t area = extent.height * extent.width;
  double sum = 0;
  for (std::int64_t i = 0; i < area; ++i) sum += grey_of(image, area, extent.channels, i);
  const auto mean = static_cast<float>(sum / static_cast<double>(area));
  for (std::int64_t i = 0; i < extent.numel(); ++i) image[i] = cut_off(mean + factor * (image[i] - mean));
}

void change_saturation(float* image, const Extent& extent, float factor) {
  if (extent.channels == 1) return;
  const std::int64_t area = extent.height * extent.width;
  for (std::int64_t i = 0; i < area; ++i) {
    const float grey = grey_of(image, area, extent.channels, i);
    for (std::int64_t c = 0; c < extent.channels; ++c) {
      float& value = image[c * area + i];
      value = cut_off(grey + factor * (value - grey));
    }
  }
}

// Red, green and blue at `hue`, in sixths of the circle and in [0, 6), the largest being `high` and the smallest `low`.
std::array<float, 3> colour_at(float hue, float high, float low) {
  std::array<float, 3> rgb;
  for (std::size_t c = 0; c < 3; ++c) {
    // Each falls linearly from `high`, where it stays for a sixth to both sides of its own hue, to `low`.
    const float away = std::abs(hue - 2 * static_cast<float>(c));
    const float share = 2 - std::min(away, 6 - away);
    rgb[c] = low + (high - low) * cut_off(share);
  }
  return rgb;
}

void turn_hue(float* image, const Extent& extent, float turn) {
  if (extent.channels == 1) return;
  const std::int64_t area = extent.height * extent.width;
  for (std::int64_t i = 0; i < area; ++i) {
    const float r = image[i], g = image[area + i], b = image[2 * area + i];
    const float high = std::max({r, g, b}), low = std::min({r, g, b}), range = high - low;
    if (range == 0) continue;  // grey
    const float from = high == r ? (g - b) / range : high == g ? 2 + (b - r) / range : 4 + (r - g) / range;
    const float hue = from + 6 * turn;
    const std::array<float, 3> turned = colour_at(hue - 6 * std::floor(hue / 6), high, low);
    for (std::int64_t c = 0; c < 3; ++c) image[c * area + i] = turned[static_cast<std::size_t>(c)];
  }
}

}  // namespace

Augmentation random_resized_crop(const RandomResizedCropOptions& options) {
  constexpr const char* kOp = "random_resized_crop";
  check(options.min_area > 0 && options.min_area <= options.max_area && options.max_area <= 1, kOp,
        "expected 0 < min_area <= max_area <= 1; got {} and {}", options.min_area, options.max_area);
  check(options.min_ratio > 0 && options.min_ratio <= options.max_ratio && std::isfinite(options.max_ratio), kOp,
        "expected 0 < min_ratio <= max_ratio; got {} and {}", options.min_ratio, options.max_ratio);
  check(options.size >= 0, kOp, "expected size >= 0; got {}", options.size);
  return [options](Batch& batch, std::span<const RandomKey> keys) {
    const Extent extent = extent_of(kOp, batch, keys);
    check<ShapeError>(extent.numel() > 0, kOp, "expected images with pixels; got {}", batch.images.shape());
    const std::int64_t height = options.size > 0 ? options.size : extent.height;
    const std::int64_t width = options.size > 0 ? options.size : extent.width;
    Tensor result = Tensor::empty({batch.images.size(0), extent.channels, height, width});
    float* to = result.mutable_data<float>();
    ResizeScratch scratch;
    for_each_image(batch, keys, extent, [&](const float* image, RandomSequence& random) {
      const Box box = draw_box(random, extent, options);
      // The part by itself: what is beside it must not shine through its edge.
      const auto top = static_cast<std::int64_t>(box.top), left = static_cast<std::int64_t>(box.left);
      const auto rows = std::min(extent.height - top, static_cast<std::int64_t>(std::ceil(box.height)));
      const auto columns = std::min(extent.width - left, static_cast<std::int64_t>(std::ceil(box.width)));
      const ResizeTaps vertical = resize_taps(rows, 0, static_cast<double>(rows), height);
      const ResizeTaps horizontal = resize_taps(columns, 0, static_cast<double>(columns), width);
      for (std::int64_t c = 0; c < extent.channels; ++c, to += height * width)
        resize_loop(image + (c * extent.height + top) * extent.width + left, extent.width, 1, 1, vertical, horizontal, to,
                    scratch);
    });
    batch.images = result;
  };
}

Augmentation color_jitter(const ColorJitterOptions& options) {
  constexpr const char* kOp = "color_jitter";
  struct Change {
    double least, most;
    void (*apply)(float*, const Extent&, float);
  };
  std::vector<Change> used;
  const auto factor = [&](double most, void (*apply)(float*, const Extent&, float)) {
    check(most >= 0 && std::isfinite(most), kOp, "expected brightness, contrast and saturation >= 0; got {}", most);
    if (most > 0) used.push_back({std::max(0.0, 1 - most), 1 + most, apply});
  };
  factor(options.brightness, change_brightness);
  factor(options.contrast, change_contrast);
  factor(options.saturation, change_saturation);
  check(options.hue >= 0 && options.hue <= 0.5, kOp, "expected hue in [0, 0.5]; got {}", options.hue);
  if (options.hue > 0) used.push_back({-options.hue, options.hue, turn_hue});
  return [used](Batch& batch, std::span<const RandomKey> keys) {
    const Extent extent = extent_of(kOp, batch, keys);
    check<ShapeError>(extent.channels == 1 || extent.channels == 3, kOp, "expected images of 1 channel or 3; got {}",
                      batch.images.shape());
    for_each_image(batch, keys, extent, [&](float* image, RandomSequence& random) {
      std::vector<Change> order = used;
      random.shuffle(std::span(order));
      for (const Change& change : order)
        change.apply(image, extent, static_cast<float>(between(random, change.least, change.most)));
    });
  };
}

}  // namespace heft::data
