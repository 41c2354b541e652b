#include "train/hard_samples.h"

#include <vector>

#include "core/random.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::train::HardSample;
using heft::train::HardSamples;

namespace {

std::vector<std::int64_t> indices(const std::vector<HardSample>& samples) {
  std::vector<std::int64_t> all;
  for (const HardSample& sample : samples) all.push_back(sample.index);
  return all;
}

}  // namespace

TEST_CASE("HardSamples: the largest losses and the lowest margins, sorted, each sample once", "[train][record]") {
  HardSamples hard(3, 10, {});
  const Tensor images = Tensor::zeros({1, 1, 2, 2});
  const auto add = [&](std::int64_t index, double loss, double margin) {
    hard.add({.index = index, .loss = loss, .margin = margin}, images, 0);
  };
  add(0, 1, 0.5);
  add(1, 4, -0.9);
  add(2, 2, -0.1);
  add(3, 3, -0.5);
  add(4, 0.5, -0.2);
  CHECK(indices(hard.hardest()) == std::vector<std::int64_t>{1, 3, 2});
  CHECK(indices(hard.suspects()) == std::vector<std::int64_t>{1, 3, 4});
  // Drawn again: once easier, once harder.
  add(1, 0.1, 0.95);
  add(2, 9, -1);
  CHECK(indices(hard.hardest()) == std::vector<std::int64_t>{2, 1, 3});
  CHECK(hard.hardest()[1].loss == 4);
  CHECK(indices(hard.suspects()) == std::vector<std::int64_t>{1, 2, 3});

  hard.begin_epoch();
  CHECK(hard.hardest().empty());
  CHECK(hard.suspects().empty());
  add(3, 0.2, 0.3);  // right by now, and still suspect
  REQUIRE(indices(hard.suspects()) == std::vector<std::int64_t>{3});
  CHECK(hard.suspects()[0].margin == Approx(-0.1));
  CHECK(hard.suspects()[0].loss == 0.2);
}

TEST_CASE("HardSamples: pixels are the image before normalisation, byte for byte", "[train][record]") {
  RandomSequence random({.seed = 4});
  std::vector<std::uint8_t> bytes;
  for (int i = 0; i < 2 * 3 * 5 * 4; ++i) bytes.push_back(static_cast<std::uint8_t>(random.below(256)));
  std::vector<float> values;
  for (const std::uint8_t byte : bytes) values.push_back(static_cast<float>(byte) / 255);
  Tensor images = Tensor::from(values, {2, 3, 5, 4});
  const data::Normalization normalize{.mean = {0.3, 0.4, 0.5}, .std = {0.2, 0.3, 0.9}};
  data::normalize_(images, normalize);
  HardSamples hard(1, 2, normalize);
  hard.add({.index = 1, .loss = 1}, images, 1);
  REQUIRE(hard.hardest().size() == 1);
  CHECK(hard.hardest()[0].pixels == std::vector<std::uint8_t>(bytes.begin() + 60, bytes.end()));

  HardSamples of_features(1, 2, {});
  of_features.add({.index = 0, .loss = 1}, Tensor::zeros({1, 7}), 0);
  of_features.add({.index = 1, .loss = 2}, Tensor::zeros({1, 2, 3, 3}), 0);  // two channels are no picture
  CHECK(of_features.hardest()[0].pixels.empty());
}
