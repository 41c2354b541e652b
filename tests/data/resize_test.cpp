#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/random.h"
#include "tests/catch_compat.h"
#include "tests/data/image_files.h"

using heft::DType;
using heft::DTypeError;
using heft::Shape;
using heft::ShapeError;
using heft::Tensor;
using heft::ValueError;
using heft::data::Box;
using heft::data::centre_box;
using heft::data::centre_crop;
using heft::data::resize;
using heft::test::contains;
using heft::test::message_of;
using Values = std::vector<double>;

namespace {

// The filter by its definition, with no window: the weight of source pixel x for pixel i of the result.
double weight(std::int64_t x, std::int64_t i, double begin, double extent, std::int64_t size) {
  const double scale = extent / static_cast<double>(size), reach = std::max(scale, 1.0);
  return std::max(0.0, 1 - std::abs(static_cast<double>(x) + 0.5 - (begin + (static_cast<double>(i) + 0.5) * scale)) / reach);
}

Values by_definition(const Tensor& image, std::int64_t height, std::int64_t width, const Box& box) {
  const std::int64_t from_height = image.size(1), from_width = image.size(2);
  const Values source = image.to_vector<double>();
  Values out;
  for (std::int64_t c = 0; c < image.size(0); ++c)
    for (std::int64_t i = 0; i < height; ++i)
      for (std::int64_t j = 0; j < width; ++j) {
        double sum = 0, total = 0;
        for (std::int64_t y = 0; y < from_height; ++y)
          for (std::int64_t x = 0; x < from_width; ++x) {
            const double w = weight(y, i, box.top, box.height, height) * weight(x, j, box.left, box.width, width);
            sum += w * source[static_cast<std::size_t>((c * from_height + y) * from_width + x)];
            total += w;
          }
        out.push_back(sum / total);
      }
  return out;
}

double worst(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

}  // namespace

TEST_CASE("resize: the triangle filter by its definition, smaller and larger", "[data][resize]") {
  heft::RandomSequence random({.seed = 3});
  for (const Shape& shape : {Shape{3, 17, 23}, Shape{1, 5, 40}, Shape{2, 1, 1}, Shape{1, 64, 3}})
    for (const Shape& size : {Shape{8, 8}, Shape{1, 1}, Shape{33, 50}, shape.without(0)}) {
      CAPTURE(shape.str(), size.str());
      const auto from_height = static_cast<double>(shape[1]), from_width = static_cast<double>(shape[2]);
      const Box whole{0, 0, from_height, from_width};
      Box part{random.uniform() * from_height / 2, random.uniform() * from_width / 2, 0, 0};
      part.height = (from_height - part.top) * (0.2 + 0.8 * random.uniform());
      part.width = (from_width - part.left) * (0.2 + 0.8 * random.uniform());
      const Tensor image = heft::random_uniform(shape, 0, 255, DType::f32, heft::Device::cpu(), {.seed = 1});
      const Tensor bytes = image.astype(DType::u8);
      for (const Box& box : {whole, part}) {
        const Tensor result = resize(image, size[0], size[1], box);
        REQUIRE(result.shape() == Shape{shape[0], size[0], size[1]});
        CHECK(result.dtype() == DType::f32);
        CHECK(worst(result.to_vector<double>(), by_definition(image, size[0], size[1], box)) < 2e-3);
        const Tensor rounded = resize(bytes, size[0], size[1], box);
        CHECK(rounded.dtype() == DType::u8);
        CHECK(worst(rounded.to_vector<double>(), by_definition(bytes, size[0], size[1], box)) < 0.501);
      }
      CHECK(worst(resize(image, size[0], size[1]).to_vector<double>(), by_definition(image, size[0], size[1], whole)) < 2e-3);
    }
}

TEST_CASE("resize: Pillow's numbers, within a rounding", "[data][resize]") {
  for (const auto& entry : heft::test::golden_images()["resizes"]) {
    const std::int64_t width = entry["width"], height = entry["height"], channels = entry["channels"];
    CAPTURE(width, height, channels);
    const std::string pixels = heft::test::from_hex(entry["pixels"]), expected = heft::test::from_hex(entry["expected"]);
    const Tensor image =
        Tensor::from(std::vector<std::uint8_t>(pixels.begin(), pixels.end()), {height, width, channels}).permute({2, 0, 1});
    const std::vector<double> box = entry["box"];  // left, top, right, bottom
    const std::int64_t to_width = entry["to"][0], to_height = entry["to"][1];
    const Tensor result = resize(image, to_height, to_width, Box{box[1], box[0], box[3] - box[1], box[2] - box[0]});
    const Tensor wanted =
        Tensor::from(std::vector<std::uint8_t>(expected.begin(), expected.end()), {to_height, to_width, channels})
            .permute({2, 0, 1});
    const Values got = result.to_vector<double>(), want = wanted.to_vector<double>();
    CHECK(worst(got, want) <= 1);
    double differ = 0;
    for (std::size_t i = 0; i < got.size(); ++i) differ += got[i] != want[i];
    CHECK(differ / static_cast<double>(got.size()) < 0.2);  // Pillow rounds between its two passes
  }
}

TEST_CASE("resize: the same size is the same image; one colour stays it", "[data][resize]") {
  const Tensor image = heft::random_uniform({3, 9, 7}, 0, 256, DType::f32, heft::Device::cpu(), {.seed = 2}).astype(DType::u8);
  CHECK(resize(image, 9, 7).to_vector<int>() == image.to_vector<int>());
  for (const double value : {0.0, 255.0})
    for (const int size : {1, 5, 200}) {
      const std::vector<int> out = resize(Tensor::full({1, 13, 11}, value, DType::u8), size, size).to_vector<int>();
      CHECK(std::all_of(out.begin(), out.end(), [&](int x) { return x == static_cast<int>(value); }));
    }
}

TEST_CASE("resize: the middle of an image, undistorted", "[data][resize]") {
  const auto values = [](const Box& box) { return Values{box.top, box.left, box.height, box.width}; };
  CHECK(values(centre_box(100, 40, 8, 8)) == Values{30, 0, 40, 40});
  CHECK(values(centre_box(30, 41, 10, 10)) == Values{0, 5.5, 30, 30});
  CHECK(values(centre_box(30, 60, 1, 3)) == Values{5, 0, 20, 60});
  for (const std::int64_t side : {1, 3, 7, 333, 1001, 16384})  // never a rounding outside
    for (const std::int64_t other : {1, 5, 640, 997})
      for (const std::int64_t size : {1, 3, 7, 64, 224}) {
        const Box box = centre_box(side, other, size, size);
        CHECK((box.top >= 0 && box.left >= 0 && box.top + box.height <= static_cast<double>(side) &&
               box.left + box.width <= static_cast<double>(other)));
      }
  const Tensor image = Tensor::arange(2 * 5 * 4).reshape({2, 5, 4});
  CHECK(centre_crop(image, 2, 2).to_vector<int>() == std::vector<int>{5, 6, 9, 10, 25, 26, 29, 30});
  CHECK(centre_crop(image, 5, 4).shares_storage(image));
}

TEST_CASE("resize: what cannot be is named", "[data][resize]") {
  const Tensor image = Tensor::zeros({1, 4, 6});
  CHECK(
      contains(message_of<ValueError>([&] { resize(image, 0, 3); }), "[resize] expected a size of at least 1 x 1; got 0 x 3"));
  CHECK(contains(message_of<ValueError>([&] {
                   resize(image, 2, 2, Box{0, 0, 4, 6.5});
                 }),
                 "a box inside 4 x 6 pixels; got 4 x 6.5"));
  CHECK_THROWS_AS(resize(image, 2, 2, Box{-1, 0, 2, 2}), ValueError);
  CHECK_THROWS_AS(resize(image, 2, 2, Box{0, 0, std::nan(""), 2}), ValueError);
  CHECK(contains(message_of<ShapeError>([&] { resize(Tensor::zeros({4, 6}), 2, 2); }), "(C, H, W) with pixels; got (4, 6)"));
  CHECK_THROWS_AS(resize(Tensor::zeros({1, 0, 3}), 2, 2), ShapeError);
  CHECK(contains(message_of<DTypeError>([&] { resize(image.astype(DType::i64), 2, 2); }), "u8 or f32; got i64"));
  CHECK(contains(message_of<ShapeError>([&] { centre_crop(image, 5, 5); }), "at least 5 x 5; got (1, 4, 6)"));
  CHECK(contains(message_of<ValueError>([&] { centre_box(4, 6, 0, 1); }), "at least 1 x 1; got 0 x 1"));
}
