#include "data/photo_augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "core/error.h"
#include "data/loader.h"
#include "tests/catch_compat.h"

using heft::RandomKey;
using heft::Shape;
using heft::ShapeError;
using heft::Tensor;
using heft::ValueError;
using heft::data::Augmentation;
using heft::data::Batch;
using heft::data::color_jitter;
using heft::data::random_resized_crop;
using heft::test::contains;
using heft::test::message_of;
using Pixels = std::vector<float>;

namespace {

// n times the same image.
Batch copies(const Tensor& image, std::int64_t n) {
  return {.images = image.unsqueeze(0).expand(image.shape().inserted(0, n)).clone(),
          .labels = Tensor::zeros({n}, heft::DType::i64)};
}

std::vector<Tensor> changed(const Augmentation& augmentation, const Tensor& image, std::int64_t n) {
  Batch batch = copies(image, n);
  std::vector<RandomKey> keys;
  for (std::int64_t i = 0; i < n; ++i) keys.push_back({.seed = 5, .stream = static_cast<std::uint64_t>(i)});
  augmentation(batch, keys);
  std::vector<Tensor> out;
  for (std::int64_t i = 0; i < n; ++i) out.push_back(batch.images.select(0, i).clone());
  return out;
}

// The first channel of pixel (y, x) is x, that of the second y.
Tensor coordinates(std::int64_t height, std::int64_t width) {
  Pixels pixels;
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) pixels.push_back(static_cast<float>(x));
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) pixels.push_back(static_cast<float>(y));
  return Tensor::from(pixels, {2, height, width});
}

// Of a resized piece of coordinates(): the extent it had, within the rounding at its edges.
struct Piece {
  double left, top, width, height;
};
Piece piece_of(const Tensor& image) {
  const Pixels p = image.to_vector<float>();
  const auto h = static_cast<std::size_t>(image.size(1)), w = static_cast<std::size_t>(image.size(2));
  // In the middle of the result the filter is whole, and the coordinates are a straight line.
  const double dx = (p[3 * w / 4] - p[w / 4]) / static_cast<double>(3 * w / 4 - w / 4);
  const double dy = (p[h * w + 3 * h / 4 * w] - p[h * w + h / 4 * w]) / static_cast<double>(3 * h / 4 - h / 4);
  return {p[w / 2] - (static_cast<double>(w / 2) + 0.5) * dx + 0.5,
          p[h * w + h / 2 * w] - (static_cast<double>(h / 2) + 0.5) * dy + 0.5, dx * static_cast<double>(w),
          dy * static_cast<double>(h)};
}

}  // namespace

TEST_CASE("random resized crop: area, shape and place as asked, everywhere alike", "[data][augment]") {
  constexpr std::int64_t kHeight = 40, kWidth = 60;
  const auto images = changed(random_resized_crop({.min_area = 0.2, .max_area = 0.6}), coordinates(kHeight, kWidth), 2000);
  double area_sum = 0, left_share = 0, top_share = 0;
  double least_area = 1, most_area = 0, least_ratio = 10, most_ratio = 0;
  for (const Tensor& image : images) {
    REQUIRE(image.shape() == Shape{2, kHeight, kWidth});
    const Piece piece = piece_of(image);
    const double area = piece.width * piece.height / (kHeight * kWidth), ratio = piece.width / piece.height;
    CHECK((piece.left > -0.1 && piece.top > -0.1 && piece.left + piece.width < kWidth + 0.1 &&
           piece.top + piece.height < kHeight + 0.1));
    area_sum += area;
    left_share += piece.left / std::max(1.0, kWidth - piece.width);
    top_share += piece.top / std::max(1.0, kHeight - piece.height);
    least_area = std::min(least_area, area);
    most_area = std::max(most_area, area);
    least_ratio = std::min(least_ratio, ratio);
    most_ratio = std::max(most_ratio, ratio);
  }
  CHECK((least_area > 0.18 && least_area < 0.22 && most_area > 0.56 && most_area < 0.63));
  CHECK((least_ratio > 0.7 && least_ratio < 0.78 && most_ratio > 1.3 && most_ratio < 1.4));
  CHECK(area_sum / 2000 == Approx(0.4).margin(0.02));
  CHECK(left_share / 2000 == Approx(0.5).margin(0.03));
  CHECK(top_share / 2000 == Approx(0.5).margin(0.03));
}

TEST_CASE("random resized crop: all of the image, another size, a shape that does not fit", "[data][augment]") {
  const Tensor image = coordinates(6, 6);
  const Augmentation whole = random_resized_crop({.min_area = 1, .min_ratio = 1, .max_ratio = 1});
  for (const Tensor& same : changed(whole, image, 5)) CHECK(same.to_vector<float>() == image.to_vector<float>());
  CHECK(changed(random_resized_crop({.size = 3}), image, 1)[0].shape() == Shape{2, 3, 3});
  // Never as narrow as this image: the middle, as wide as it is.
  const Augmentation square = random_resized_crop({.min_area = 1, .min_ratio = 1, .max_ratio = 1, .size = 4});
  for (const Tensor& middle : changed(square, coordinates(20, 4), 3)) {
    const Pixels p = middle.to_vector<float>();
    CHECK(Pixels(p.begin() + 16, p.end()) == Pixels{8, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11});
  }
}

TEST_CASE("colour jitter: each by its definition", "[data][augment]") {
  // Far enough from 0 and 1 that nothing is cut off.
  const Tensor image = Tensor::from(Pixels{0.4f, 0.5f, 0.3f, 0.4f, 0.5f, 0.45f}, {3, 1, 2});
  const Pixels x = image.to_vector<float>();
  const float grey[] = {0.299f * x[0] + 0.587f * x[2] + 0.114f * x[4], 0.299f * x[1] + 0.587f * x[3] + 0.114f * x[5]};
  const float mean = (grey[0] + grey[1]) / 2;
  const auto check_factors = [&](const Augmentation& augmentation, auto&& toward) {
    float least = 2, most = 0;
    for (const Tensor& result : changed(augmentation, image, 500)) {
      const Pixels y = result.to_vector<float>();
      const float factor = (y[0] - toward(0)) / (x[0] - toward(0));
      for (std::size_t i = 0; i < 6; ++i) CHECK(y[i] == Approx(toward(i) + factor * (x[i] - toward(i))).margin(1e-5));
      least = std::min(least, factor);
      most = std::max(most, factor);
    }
    CHECK((least >= 0.699f && least < 0.72f && most > 1.28f && most <= 1.301f));
  };
  check_factors(color_jitter({.brightness = 0.3, .contrast = 0, .saturation = 0}), [](std::size_t) { return 0.0f; });
  check_factors(color_jitter({.brightness = 0, .contrast = 0.3, .saturation = 0}), [&](std::size_t) { return mean; });
  check_factors(color_jitter({.brightness = 0, .contrast = 0, .saturation = 0.3}), [&](std::size_t i) { return grey[i % 2]; });
}

namespace {

// HSV as in Foley and van Dam, and torchvision's adjust_hue: hue, saturation and value, each in [0, 1).
std::array<double, 3> hsv(double r, double g, double b) {
  const double high = std::max({r, g, b}), range = high - std::min({r, g, b});
  if (range == 0) return {0, 0, high};
  const double rc = (high - r) / range, gc = (high - g) / range, bc = (high - b) / range;
  const double hue = r == high ? bc - gc : g == high ? 2 + rc - bc : 4 + gc - rc;
  return {std::fmod(hue / 6 + 1, 1), range / high, high};
}
std::array<double, 3> rgb(const std::array<double, 3>& colour) {
  const auto [h, s, v] = colour;
  const int sixth = static_cast<int>(h * 6);
  const double f = h * 6 - sixth, p = v * (1 - s), q = v * (1 - s * f), t = v * (1 - s * (1 - f));
  const std::array<std::array<double, 3>, 6> all{{{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}}};
  return all[static_cast<std::size_t>(sixth % 6)];
}

}  // namespace

TEST_CASE("colour jitter: hue is turned as in HSV, by as much for every pixel, evenly", "[data][augment]") {
  // One of each sixth, a grey, black, white, two largest channels alike, and others.
  const std::vector<std::array<float, 3>> colours{
      {0.9f, 0.5f, 0.1f}, {0.5f, 0.9f, 0.1f}, {0.1f, 0.9f, 0.5f},  {0.1f, 0.5f, 0.9f}, {0.5f, 0.1f, 0.9f},
      {0.9f, 0.1f, 0.5f}, {0.4f, 0.4f, 0.4f}, {0, 0, 0},           {1, 1, 1},          {0.7f, 0.7f, 0.2f},
      {1, 0, 0},          {0, 1, 1},          {0.31f, 0.3f, 0.29f}};
  const std::size_t n = colours.size();
  Pixels planes(3 * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t c = 0; c < 3; ++c) planes[c * n + i] = colours[i][c];
  const Tensor image = Tensor::from(planes, {3, 1, static_cast<std::int64_t>(n)});
  for (const double most : {0.1, 0.5}) {
    double least_turn = 1, most_turn = -1, sum = 0;
    for (const Tensor& result :
         changed(color_jitter({.brightness = 0, .contrast = 0, .saturation = 0, .hue = most}), image, 500)) {
      const Pixels y = result.to_vector<float>();
      // Of pure red, which is hue 0.
      double turn = hsv(y[10], y[n + 10], y[2 * n + 10])[0];
      if (turn > 0.5) turn -= 1;
      least_turn = std::min(least_turn, turn);
      most_turn = std::max(most_turn, turn);
      sum += turn;
      for (std::size_t i = 0; i < n; ++i) {
        std::array<double, 3> colour = hsv(colours[i][0], colours[i][1], colours[i][2]);
        colour[0] = std::fmod(colour[0] + turn + 1, 1);
        const std::array<double, 3> expected = rgb(colour);
        for (std::size_t c = 0; c < 3; ++c) CHECK(y[c * n + i] == Approx(expected[c]).margin(1e-5));
      }
    }
    CHECK((least_turn >= -most - 1e-6 && least_turn < -0.95 * most && most_turn > 0.95 * most && most_turn <= most + 1e-6));
    CHECK(std::abs(sum / 500) < 0.1 * most);
  }
  const Tensor grey = Tensor::from(Pixels{0.2f, 0.6f}, {1, 1, 2});
  const Augmentation turned = color_jitter({.brightness = 0, .contrast = 0, .saturation = 0, .hue = 0.5});
  CHECK(changed(turned, grey, 1)[0].to_vector<float>() == grey.to_vector<float>());
}

TEST_CASE("colour jitter: stays within 0 and 1, in orders that differ; grey images keep their grey", "[data][augment]") {
  const Tensor image = Tensor::from(Pixels{0, 1, 0.5f, 0.2f, 1, 0}, {3, 1, 2});
  std::set<Pixels> seen;
  for (const Tensor& result : changed(color_jitter({.brightness = 2, .contrast = 2, .saturation = 2}), image, 200)) {
    const Pixels y = result.to_vector<float>();
    CHECK(std::all_of(y.begin(), y.end(), [](float value) { return value >= 0 && value <= 1; }));
    seen.insert(y);
  }
  CHECK(seen.size() > 150);
  const Tensor grey = Tensor::from(Pixels{0.2f, 0.6f}, {1, 1, 2});
  const Augmentation saturation = color_jitter({.brightness = 0, .contrast = 0, .saturation = 0.9});
  CHECK(changed(saturation, grey, 1)[0].to_vector<float>() == grey.to_vector<float>());
  const Augmentation nothing = color_jitter({.brightness = 0, .contrast = 0, .saturation = 0});
  CHECK(changed(nothing, image, 1)[0].to_vector<float>() == image.to_vector<float>());
}

TEST_CASE("photo augmentations: depend on the key alone", "[data][augment]") {
  const Augmentation steps = heft::data::compose({random_resized_crop(), color_jitter()});
  const Tensor image = heft::random_uniform({3, 9, 8}, 0, 1, heft::DType::f32, heft::Device::cpu(), {.seed = 4});
  const auto many = changed(steps, image, 6), few = changed(steps, image, 2);
  for (std::size_t i = 0; i < few.size(); ++i) CHECK(few[i].to_vector<float>() == many[i].to_vector<float>());
  CHECK(many[0].to_vector<float>() != many[1].to_vector<float>());
}

TEST_CASE("photo augmentations: options and images outside their domain are named", "[data][augment]") {
  const auto option = [](auto&& make) { return message_of<ValueError>(make); };
  CHECK(contains(option([] { random_resized_crop({.min_area = 0}); }), "[random_resized_crop] expected 0 < min_area"));
  CHECK(contains(option([] { random_resized_crop({.min_area = 0.5, .max_area = 0.4}); }), "got 0.5 and 0.4"));
  CHECK(contains(option([] { random_resized_crop({.max_area = 1.1}); }), "max_area <= 1"));
  CHECK(contains(option([] { random_resized_crop({.min_ratio = 2, .max_ratio = 1}); }), "min_ratio <= max_ratio; got 2 and 1"));
  CHECK(contains(option([] { random_resized_crop({.size = -1}); }), "size >= 0; got -1"));
  CHECK(contains(option([] { color_jitter({.contrast = -0.1}); }), "[color_jitter] expected brightness"));
  CHECK(contains(option([] { color_jitter({.saturation = std::nan("")}); }), "got nan"));
  CHECK(contains(option([] { color_jitter({.hue = 0.6}); }), "[color_jitter] expected hue in [0, 0.5]; got 0.6"));
  CHECK(contains(option([] { color_jitter({.hue = std::nan("")}); }), "got nan"));
  CHECK(contains(message_of<ShapeError>([] {
                   changed(color_jitter(), Tensor::zeros({2, 3, 3}), 1);
                 }),
                 "1 channel or 3; got (1, 2, 3, 3)"));
  CHECK_THROWS_AS(changed(random_resized_crop(), Tensor::zeros({1, 0, 3}), 1), ShapeError);
}
