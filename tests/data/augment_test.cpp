#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "data/loader.h"
#include "data/mixup.h"
#include "tests/catch_compat.h"

using heft::RandomKey;
using heft::Shape;
using heft::ShapeError;
using heft::Tensor;
using heft::ValueError;
using heft::data::Augmentation;
using heft::data::Batch;
using heft::data::cutout;
using heft::data::DatasetPtr;
using heft::data::horizontal_flip;
using heft::data::Loader;
using heft::data::LoaderOptions;
using heft::data::pad_and_crop;
using heft::data::Padding;
using heft::test::contains;
using heft::test::message_of;
using Pixels = std::vector<float>;

namespace {

constexpr std::int64_t kChannels = 2, kHeight = 5, kWidth = 7, kArea = kHeight * kWidth;

// n times the image 1, 2, 3, ...: every pixel tells where it comes from.
Batch numbered(std::int64_t n) {
  Pixels pixels;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t p = 1; p <= kChannels * kArea; ++p) pixels.push_back(static_cast<float>(p));
  return {.images = Tensor::from(pixels, {n, kChannels, kHeight, kWidth}), .labels = Tensor::zeros({n}, heft::DType::i64)};
}

std::vector<RandomKey> keys_of(std::int64_t n, std::uint64_t seed = 0) {
  std::vector<RandomKey> keys;
  for (std::int64_t i = 0; i < n; ++i) keys.push_back({.seed = seed, .stream = static_cast<std::uint64_t>(i)});
  return keys;
}

// The images of numbered(n) after `augmentation`.
std::vector<Pixels> changed(const Augmentation& augmentation, std::int64_t n, std::uint64_t seed = 0) {
  Batch batch = numbered(n);
  augmentation(batch, keys_of(n, seed));
  std::vector<Pixels> out;
  for (std::int64_t i = 0; i < n; ++i) out.push_back(batch.images.select(0, i).to_vector<float>());
  return out;
}

// Row or column i of n by the definition of padding; -1: black.
std::int64_t source(std::int64_t i, std::int64_t n, Padding mode) {
  if (mode == Padding::zero) return i >= 0 && i < n ? i : -1;
  while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
  return i;
}

Pixels cropped(std::int64_t dy, std::int64_t dx, Padding mode) {
  Pixels out;
  for (std::int64_t c = 0; c < kChannels; ++c)
    for (std::int64_t y = 0; y < kHeight; ++y)
      for (std::int64_t x = 0; x < kWidth; ++x) {
        const std::int64_t row = source(y + dy, kHeight, mode), column = source(x + dx, kWidth, mode);
        out.push_back(row < 0 || column < 0 ? 0.0f : static_cast<float>(1 + c * kArea + row * kWidth + column));
      }
  return out;
}

const Pixels& plain() {
  static const Pixels pixels = cropped(0, 0, Padding::zero);
  return pixels;
}

Pixels mirrored(const Pixels& image) {
  Pixels out = image;
  for (std::size_t row = 0; row < out.size(); row += kWidth) std::reverse(out.begin() + row, out.begin() + row + kWidth);
  return out;
}

bool near(double observed, double expected, double n) {
  return std::abs(observed - expected) <= 5 * std::sqrt(expected * (1 - expected) / n);
}

}  // namespace

TEST_CASE("pad and crop: every place alike, zeros or the mirrored image around", "[data][augment]") {
  constexpr std::int64_t kImages = 5000;
  for (const Padding mode : {Padding::zero, Padding::reflect})
    for (const std::int64_t padding : {1, 3}) {
      std::map<Pixels, int> seen;
      for (const Pixels& image : changed(pad_and_crop({.padding = padding, .mode = mode}), kImages)) ++seen[image];
      const std::int64_t places = (2 * padding + 1) * (2 * padding + 1);
      CHECK(static_cast<std::int64_t>(seen.size()) == places);
      for (std::int64_t dy = -padding; dy <= padding; ++dy)
        for (std::int64_t dx = -padding; dx <= padding; ++dx) {
          CAPTURE(dy, dx);
          CHECK(near(seen[cropped(dy, dx, mode)] / double{kImages}, 1.0 / static_cast<double>(places), kImages));
        }
    }
}

TEST_CASE("horizontal flip: left becomes right, as often as asked", "[data][augment]") {
  const Pixels flipped = mirrored(plain());
  for (const double probability : {0.0, 0.3, 0.5, 1.0}) {
    int flips = 0;
    for (const Pixels& image : changed(horizontal_flip({.probability = probability}), 2000)) {
      CHECK((image == plain() || image == flipped));
      flips += image == flipped;
    }
    CHECK(near(flips / 2000.0, probability, 2000));
  }
}

TEST_CASE("cutout: a square around any pixel, clipped, in the fill of its channel", "[data][augment]") {
  for (const std::int64_t size : {1, 2, 3, 20}) {
    std::set<Pixels> seen;
    for (const Pixels& image : changed(cutout({.size = size, .fill = {-1, -2}}), 2000)) seen.insert(image);
    std::set<Pixels> expected;
    for (std::int64_t cy = 0; cy < kHeight; ++cy)
      for (std::int64_t cx = 0; cx < kWidth; ++cx) {
        Pixels image = plain();
        for (std::int64_t y = 0; y < kHeight; ++y)
          for (std::int64_t x = 0; x < kWidth; ++x) {
            const std::int64_t dy = y - (cy - size / 2), dx = x - (cx - size / 2);
            if (dy < 0 || dy >= size || dx < 0 || dx >= size) continue;
            image[static_cast<std::size_t>(y * kWidth + x)] = -1;
            image[static_cast<std::size_t>(kArea + y * kWidth + x)] = -2;
          }
        expected.insert(image);
      }
    CHECK(seen == expected);
  }
  for (const Pixels& image : changed(cutout({.size = 50}), 3)) CHECK(image == Pixels(image.size(), 0.0f));
}

TEST_CASE("compose: steps in their order, with random numbers of their own", "[data][augment]") {
  const Augmentation flip = horizontal_flip();
  int same = 0;
  for (const Pixels& image : changed(heft::data::compose({flip, flip}), 2000)) same += image == plain();
  CHECK(near(same / 2000.0, 0.5, 2000));  // with the same numbers the second would undo the first
  same = 0;
  for (const Pixels& image : changed(heft::data::compose({heft::data::compose({flip, flip}), flip}), 2000))
    same += image == plain();
  CHECK(near(same / 2000.0, 0.5, 2000));
  const Augmentation always = horizontal_flip({.probability = 1});
  const Augmentation mark = [](Batch& batch, std::span<const RandomKey>) { batch.images.mutable_data<float>()[0] = 99; };
  CHECK(changed(heft::data::compose({mark, always}), 1)[0][6] == 99);
  CHECK(changed(heft::data::compose({always, mark}), 1)[0][0] == 99);
  CHECK(changed(heft::data::compose({}), 1)[0] == plain());
  CHECK(contains(message_of<ValueError>([&] { heft::data::compose({flip, nullptr}); }), "step 1 is empty"));
}

namespace {

DatasetPtr squares(std::int64_t n) {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t p = 0; p < 3 * 8 * 8; ++p) pixels.push_back(static_cast<std::uint8_t>(p + 31 * i));
    labels.push_back(i % 10);
  }
  return heft::data::memory_dataset(Tensor::from(pixels, {n, 3, 8, 8}), Tensor::from(labels), {.classes = 10});
}

Augmentation everything() {
  return heft::data::compose({pad_and_crop(), horizontal_flip(), cutout({.size = 4}), heft::data::mixup()});
}

// All that one epoch delivers.
Pixels epoch(Loader& loader) {
  Pixels out;
  for (const Batch& batch : loader) {
    for (const Tensor& part : {batch.images, batch.labels, batch.partner_labels, batch.own_share}) {
      if (!part.defined()) continue;
      const Pixels values = part.to_vector<float>();
      out.insert(out.end(), values.begin(), values.end());
    }
  }
  return out;
}

}  // namespace

TEST_CASE("loader: augmented batches depend on seed and epoch, not on the workers", "[data][augment][loader]") {
  const auto loader = [](std::uint64_t seed, int workers, int prefetch) {
    return Loader(squares(50), {.batch_size = 8,
                                .shuffle = true,
                                .seed = seed,
                                .workers = workers,
                                .augment = everything(),
                                .normalize = {{0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}},
                                .prefetch = prefetch});
  };
  Loader reference = loader(7, 0, 4);
  const Pixels first = epoch(reference), second = epoch(reference);
  CHECK(first != second);
  for (const int workers : {0, 1, 3})
    for (const int prefetch : {1, 4}) {
      Loader again = loader(7, workers, prefetch);
      CHECK(epoch(again) == first);
      CHECK(epoch(again) == second);
      again.set_epoch(0);
      CHECK(epoch(again) == first);
    }
  Loader stopped = loader(7, 3, 4);
  stopped.set_epoch(1);
  ++stopped.begin();  // leaves the second epoch at its second batch
  stopped.set_epoch(1);
  CHECK(epoch(stopped) == second);
  Loader other = loader(8, 1, 4);
  CHECK(epoch(other) != first);
}

TEST_CASE("loader: augmentation goes by the place in the epoch, not by batch; copies differ", "[data][augment][loader]") {
  const Augmentation steps = heft::data::compose({pad_and_crop(), horizontal_flip()});
  const auto images = [&](std::int64_t batch_size) {
    Loader loader(squares(20), {.batch_size = batch_size, .augment = steps});
    Pixels out;
    for (const Batch& batch : loader) {
      const Pixels values = batch.images.to_vector<float>();
      out.insert(out.end(), values.begin(), values.end());
    }
    return out;
  };
  CHECK(images(3) == images(20));
  Loader copies(heft::data::subset(squares(1), std::vector<std::int64_t>(64, 0)), {.batch_size = 64, .augment = steps});
  std::set<Pixels> seen;
  for (const Batch& batch : copies)
    for (std::int64_t i = 0; i < 64; ++i) seen.insert(batch.images.select(0, i).to_vector<float>());
  CHECK(seen.size() > 30);
}

TEST_CASE("loader: black padding is black before normalising; errors arrive with their batch", "[data][augment][loader]") {
  const DatasetPtr white = heft::data::memory_dataset(Tensor::ones({4, 1, 3, 3}), Tensor::zeros({4}, heft::DType::i64));
  Loader loader(white, {.batch_size = 4, .augment = pad_and_crop({.padding = 2}), .normalize = {{0.5}, {0.5}}});
  for (const Batch& batch : loader) {
    std::set<float> values;
    for (const float value : batch.images.to_vector<float>()) values.insert(value);
    CHECK(values == std::set<float>{-1, 1});
  }
  for (const int workers : {0, 2}) {
    Loader wrong(white, {.batch_size = 2, .workers = workers, .augment = pad_and_crop({.padding = 3})});
    CHECK(contains(message_of<ShapeError>([&] { wrong.begin(); }), "images larger than the padding, 3; got (2, 1, 3, 3)"));
  }
}

TEST_CASE("augmentations: options and batches outside their domain are named", "[data][augment]") {
  const auto option = [](auto&& make) { return message_of<ValueError>(make); };
  CHECK(contains(option([] { pad_and_crop({.padding = 0}); }), "[pad_and_crop] expected padding >= 1; got 0"));
  CHECK(contains(option([] { horizontal_flip({.probability = 1.5}); }), "probability in [0, 1]; got 1.5"));
  CHECK(contains(option([] { horizontal_flip({.probability = std::nan("")}); }), "got nan"));
  CHECK(contains(option([] { cutout({.size = 0}); }), "expected size >= 1; got 0"));
  CHECK(contains(option([] { cutout({.fill = {0, INFINITY}}); }), "finite values to fill with; got inf"));
  const auto batch_error = [](const Augmentation& augmentation, std::int64_t keys = 3) {
    return message_of<ShapeError>([&] {
      Batch batch = numbered(3);
      augmentation(batch, keys_of(keys));
    });
  };
  CHECK(contains(batch_error(pad_and_crop({.padding = 5})), "larger than the padding, 5; got (3, 2, 5, 7)"));
  CHECK(contains(batch_error(horizontal_flip(), 2), "a key for each of 3 images; got 2"));
  CHECK(contains(batch_error(cutout({.fill = {1}})), "a value for each channel, 2; got 1"));
  Batch flat{.images = Tensor::zeros({3, 4}), .labels = Tensor::zeros({3}, heft::DType::i64)};
  CHECK(contains(message_of<ShapeError>([&] { horizontal_flip()(flat, keys_of(3)); }), "(N, C, H, W); got (3, 4)"));
  Batch none;
  CHECK_THROWS_AS(cutout()(none, keys_of(1)), ShapeError);
}
