#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/check.h"
#include "data/resize_loop.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "resize";

template <class T>
T rounded(float value) {
  if constexpr (std::is_same_v<T, std::uint8_t>) return static_cast<T>(std::clamp(value + 0.5f, 0.0f, 255.0f));
  else return value;
}

// out[i] = sum over k of weights[k] * from[k * row + i]: whole lines, so that the compiler has something to vectorise. Four at
// a time, since it is loads and stores that take the time.
template <class T>
void blend_lines(const T* from, std::int64_t row, const float* weights, std::int64_t lines, std::int64_t n, float* out) {
  std::fill_n(out, n, 0.0f);
  std::int64_t k = 0;
  for (; k + 4 <= lines; k += 4) {
    const T *a = from + k * row, *b = a + row, *c = b + row, *d = c + row;
    const float wa = weights[k], wb = weights[k + 1], wc = weights[k + 2], wd = weights[k + 3];
    for (std::int64_t i = 0; i < n; ++i)
      out[i] += wa * static_cast<float>(a[i]) + wb * static_cast<float>(b[i]) + wc * static_cast<float>(c[i]) +
                wd * static_cast<float>(d[i]);
  }
  for (; k < lines; ++k) {
    const T* a = from + k * row;
    for (std::int64_t i = 0; i < n; ++i) out[i] += weights[k] * static_cast<float>(a[i]);
  }
}

}  // namespace

ResizeTaps resize_taps(std::int64_t source, double begin, double extent, std::int64_t size) {
  ResizeTaps taps;
  const double scale = extent / static_cast<double>(size);
  const double reach = std::max(scale, 1.0);  // of the filter to each side, in pixels of the source
  for (std::int64_t i = 0; i < size; ++i) {
    const double centre = begin + (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(centre - reach + 0.5)));
    const auto last = std::min(source, std::max(first + 1, static_cast<std::int64_t>(std::floor(centre + reach + 0.5))));
    const std::size_t at = taps.weights.size();
    double sum = 0;
    for (std::int64_t x = first; x < last; ++x) {
      const double weight = std::max(0.0, 1 - std::abs(static_cast<double>(x) + 0.5 - centre) / reach);
      taps.weights.push_back(static_cast<float>(weight));
      sum += weight;
    }
    for (std::size_t k = at; k < taps.weights.size(); ++k) taps.weights[k] = static_cast<float>(taps.weights[k] / sum);
    taps.windows.push_back({.begin = first, .count = last - first, .weights = at});
  }
  return taps;
}

template <class T>
void resize_loop(const T* from, std::int64_t row, std::int64_t pixel, std::int64_t channels, const ResizeTaps& vertical,
                 const ResizeTaps& horizontal, T* to, ResizeScratch& scratch) {
  const auto height = static_cast<std::int64_t>(vertical.windows.size());
  const auto width = static_cast<std::int64_t>(horizontal.windows.size());
  // Only the columns that some window has.
  const std::int64_t left = horizontal.windows.front().begin;
  const std::int64_t right = horizontal.windows.back().begin + horizontal.windows.back().count;
  const std::int64_t n = (right - left - 1) * pixel + channels;
  scratch.lines.resize(static_cast<std::size_t>(n));
  float* line = scratch.lines.data();
  for (std::int64_t y = 0; y < height; ++y) {
    const ResizeTaps::Window& rows = vertical.windows[static_cast<std::size_t>(y)];
    blend_lines(from + rows.begin * row + left * pixel, row, vertical.weights.data() + rows.weights, rows.count, n, line);
    for (std::int64_t x = 0; x < width; ++x) {
      const ResizeTaps::Window& columns = horizontal.windows[static_cast<std::size_t>(x)];
      const float* weights = horizontal.weights.data() + columns.weights;
      const float* start = line + (columns.begin - left) * pixel;
      for (std::int64_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (std::int64_t k = 0; k < columns.count; ++k) sum += weights[k] * start[k * pixel + c];
        to[(c * height + y) * width + x] = rounded<T>(sum);
      }
    }
  }
}

template void resize_loop(const std::uint8_t*, std::int64_t, std::int64_t, std::int64_t, const ResizeTaps&, const ResizeTaps&,
                          std::uint8_t*, ResizeScratch&);
template void resize_loop(const float*, std::int64_t, std::int64_t, std::int64_t, const ResizeTaps&, const ResizeTaps&, float*,
                          ResizeScratch&);

Tensor resize(const Tensor& image, std::int64_t height, std::int64_t width, const std::optional<Box>& box) {
  check(image.defined(), kOp, "expected an image; got an undefined tensor");
  check<ShapeError>(image.rank() == 3 && image.numel() > 0, kOp, "expected an image (C, H, W) with pixels; got {}",
                    image.shape());
  check<DTypeError>(image.dtype() == DType::u8 || image.dtype() == DType::f32, kOp, "expected an image of u8 or f32; got {}",
                    image.dtype());
  check(height >= 1 && width >= 1, kOp, "expected a size of at least 1 x 1; got {} x {}", height, width);
  const std::int64_t channels = image.size(0), from_height = image.size(1), from_width = image.size(2);
  const Box b = box.value_or(Box{0, 0, static_cast<double>(from_height), static_cast<double>(from_width)});
  check(b.height > 0 && b.width > 0 && b.top >= 0 && b.left >= 0 && b.top + b.height <= static_cast<double>(from_height) &&
            b.left + b.width <= static_cast<double>(from_width),
        kOp, "expected a box inside {} x {} pixels; got {} x {} at ({}, {})", from_height, from_width, b.height, b.width, b.top,
        b.left);
  const ResizeTaps vertical = resize_taps(from_height, b.top, b.height, height);
  const ResizeTaps horizontal = resize_taps(from_width, b.left, b.width, width);
  const Tensor source = image.contiguous();
  Tensor result = Tensor::empty({channels, height, width}, image.dtype());
  ResizeScratch scratch;
  const auto each_channel = [&]<class T>(const T* from, T* to) {
    for (std::int64_t c = 0; c < channels; ++c)
      resize_loop(from + c * from_height * from_width, from_width, 1, 1, vertical, horizontal, to + c * height * width,
                  scratch);
  };
  if (image.dtype() == DType::u8) each_channel(source.data<std::uint8_t>(), result.mutable_data<std::uint8_t>());
  else each_channel(source.data<float>(), result.mutable_data<float>());
  return result;
}

Box centre_box(std::int64_t image_height, std::int64_t image_width, std::int64_t height, std::int64_t width) {
  check(image_height >= 1 && image_width >= 1 && height >= 1 && width >= 1, "centre_box",
        "expected sizes of at least 1 x 1; got {} x {} in {} x {}", height, width, image_height, image_width);
  const auto h = static_cast<double>(image_height), w = static_cast<double>(image_width);
  const double scale = std::min(h / static_cast<double>(height), w / static_cast<double>(width));
  const double box_height = std::min(h, scale * static_cast<double>(height));
  const double box_width = std::min(w, scale * static_cast<double>(width));
  return {.top = (h - box_height) / 2, .left = (w - box_width) / 2, .height = box_height, .width = box_width};
}

Tensor centre_crop(const Tensor& image, std::int64_t height, std::int64_t width) {
  constexpr const char* kCropOp = "centre_crop";
  check(image.defined(), kCropOp, "expected an image; got an undefined tensor");
  check<ShapeError>(image.rank() == 3 && height >= 1 && width >= 1 && image.size(1) >= height && image.size(2) >= width,
                    kCropOp, "expected an image (C, H, W) of at least {} x {}; got {}", height, width, image.shape());
  const std::int64_t top = (image.size(1) - height) / 2, left = (image.size(2) - width) / 2;
  return image.slice(1, top, top + height).slice(2, left, left + width);
}

}  // namespace heft::data
