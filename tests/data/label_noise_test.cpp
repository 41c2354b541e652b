#include "data/label_noise.h"

#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "data/relabel.h"
#include "tests/catch_compat.h"

using heft::Tensor;
using heft::data::ClassFlip;
using heft::data::DatasetPtr;
using heft::data::FlipCount;
using heft::data::FlipFrom;
using heft::data::mapped_noise;
using heft::data::MappedNoiseOptions;
using heft::data::noise_rate;
using heft::data::NoiseRate;
using heft::data::symmetric_noise;
using heft::data::SymmetricNoiseOptions;
using heft::data::TrueClass;
using heft::test::contains;
using heft::test::message_of;
using Labels = std::vector<std::int64_t>;

namespace {

DatasetPtr with_labels(const Labels& labels, std::int64_t classes) {
  return heft::data::memory_dataset(Tensor::zeros({static_cast<std::int64_t>(labels.size()), 1}, heft::DType::u8),
                                    Tensor::from(labels), {.classes = classes});
}

DatasetPtr balanced(std::int64_t per_class, std::int64_t classes) {
  Labels labels;
  for (std::int64_t i = 0; i < per_class * classes; ++i) labels.push_back(i % classes);
  return with_labels(labels, classes);
}

// counts[from][to] of the labels.
std::vector<Labels> transitions(const DatasetPtr& clean, const DatasetPtr& noisy) {
  std::vector<Labels> counts(static_cast<std::size_t>(clean->classes()), Labels(static_cast<std::size_t>(clean->classes())));
  const Labels before = clean->labels(), after = noisy->labels();
  for (std::size_t i = 0; i < before.size(); ++i)
    ++counts[static_cast<std::size_t>(before[i])][static_cast<std::size_t>(after[i])];
  return counts;
}

std::set<std::int64_t> flipped(const DatasetPtr& noisy) {
  std::set<std::int64_t> out;
  for (std::int64_t i = 0; i < noisy->size(); ++i) {
    const heft::data::Sample sample = noisy->get(i);
    if (sample.label != sample.clean_label) out.insert(sample.index);
  }
  return out;
}

bool near(double observed, double expected, double n) {
  return std::abs(observed - expected) <= 5 * std::sqrt(expected * (1 - expected) / n);
}

}  // namespace

TEST_CASE("symmetric noise: exact counts by class, uniform over the others", "[data][noise]") {
  const DatasetPtr clean = balanced(5000, 10);
  const auto counts = transitions(clean, symmetric_noise(clean, {.rate = 0.4}));
  for (std::size_t from = 0; from < 10; ++from)
    for (std::size_t to = 0; to < 10; ++to) {
      CAPTURE(from, to);
      if (from == to) CHECK(counts[from][to] == 3000);
      else CHECK(near(static_cast<double>(counts[from][to]) / 2000, 1.0 / 9, 2000));
    }
  const Labels uneven{0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2};
  const DatasetPtr small = with_labels(uneven, 3);
  const auto some = transitions(small, symmetric_noise(small, {.rate = 0.5}));  // int(3.5), int(1.5), int(0.5)
  CHECK(some[0][0] == 4);
  CHECK(some[1][1] == 2);
  CHECK(some[2][2] == 1);
}

TEST_CASE("symmetric noise: true class included, overall or independent", "[data][noise]") {
  const DatasetPtr clean = balanced(2000, 10);
  const NoiseRate exact = noise_rate(symmetric_noise(clean, {.rate = 0.4, .count = FlipCount::overall}));
  CHECK(exact.overall == Approx(0.4).epsilon(1e-12));
  CHECK(near(exact.by_class[3], 0.4, 2000));
  const NoiseRate included =
      noise_rate(symmetric_noise(clean, {.rate = 0.4, .count = FlipCount::overall, .true_class = TrueClass::included}));
  CHECK(near(included.overall, 0.36, 20000));
  CHECK(included.overall < 0.4);
  const NoiseRate independent = noise_rate(symmetric_noise(clean, {.rate = 0.4, .count = FlipCount::independent}));
  CHECK(near(independent.overall, 0.4, 20000));
  CHECK(independent.overall != Approx(0.4).epsilon(1e-12));
  const auto counts = transitions(
      clean, symmetric_noise(clean, {.rate = 1, .count = FlipCount::independent, .true_class = TrueClass::included}));
  for (std::size_t to = 0; to < 10; ++to) CHECK(near(static_cast<double>(counts[7][to]) / 2000, 0.1, 2000));
}

TEST_CASE("noise depends on seed and index, not on order or position; a higher rate adds to a lower", "[data][noise]") {
  const DatasetPtr clean = balanced(100, 4), mixed = heft::data::shuffled(clean, 5);
  for (const FlipCount count : {FlipCount::per_class, FlipCount::overall, FlipCount::independent}) {
    const DatasetPtr noisy = symmetric_noise(clean, {.rate = 0.3, .count = count, .seed = 1});
    const std::set<std::int64_t> wrong = flipped(noisy);
    CHECK(wrong.size() > 80);
    CHECK(flipped(symmetric_noise(clean, {.rate = 0.3, .count = count, .seed = 1})) == wrong);
    CHECK(flipped(symmetric_noise(clean, {.rate = 0.3, .count = count, .seed = 2})) != wrong);
    const DatasetPtr noisy_mixed = symmetric_noise(mixed, {.rate = 0.3, .count = count, .seed = 1});
    for (std::int64_t i = 0; i < 400; ++i) {
      const heft::data::Sample sample = noisy_mixed->get(i);
      CHECK(sample.label == noisy->get(sample.index).label);
      CHECK(sample.clean_label == clean->get(sample.index).label);
    }
    for (const std::int64_t index : flipped(symmetric_noise(clean, {.rate = 0.2, .count = count, .seed = 1})))
      CHECK(wrong.count(index) == 1);
  }
  CHECK(flipped(symmetric_noise(clean, {.rate = 0})).empty());
  CHECK(flipped(symmetric_noise(clean, {.rate = 1})).size() == 400);
}

TEST_CASE("mapped noise from the original labels: each class at its rate", "[data][noise]") {
  const DatasetPtr clean = balanced(5000, 10);
  const auto counts = transitions(clean, mapped_noise(clean, {.rate = 0.4, .flips = heft::data::cifar10_flips()}));
  const std::map<std::size_t, std::size_t> expected{{9, 1}, {2, 0}, {3, 5}, {5, 3}, {4, 7}};
  for (std::size_t from = 0; from < 10; ++from)
    for (std::size_t to = 0; to < 10; ++to) {
      const auto it = expected.find(from);
      const std::int64_t wanted = it == expected.end() ? (from == to ? 5000 : 0)
                                  : from == to         ? 3000
                                  : to == it->second   ? 2000
                                                       : 0;
      CAPTURE(from, to);
      CHECK(counts[from][to] == wanted);
    }
  const NoiseRate overall =
      noise_rate(mapped_noise(clean, {.rate = 0.4, .flips = heft::data::cifar10_flips(), .count = FlipCount::overall}));
  CHECK(near(overall.overall, 0.2, 25000));
  CHECK(overall.by_class[0] == 0);
  CHECK(near(overall.by_class[5], 0.4, 5000));
}

TEST_CASE("mapped noise one flip after another: the rates the published code ends with", "[data][noise]") {
  const DatasetPtr clean = balanced(5000, 10);
  // Of the 2000 cats that became dogs some come back: int(0.4 x 7000) = 2800 of 7000 dogs flip, so 800 on average, with a
  // standard deviation of 18.5. 24.4 %, 40.4 % and 18.5 % are one draw.
  for (const std::uint64_t seed : {0, 1, 2}) {
    const MappedNoiseOptions options{
        .rate = 0.4, .flips = heft::data::cifar10_flips(), .from = FlipFrom::flipped, .seed = seed};
    const DatasetPtr noisy = mapped_noise(clean, options);
    const NoiseRate rate = noise_rate(noisy);
    CHECK(std::abs(rate.by_class[3] - 0.244) < 0.02);
    CHECK(std::abs(rate.by_class[5] - 0.404) < 0.02);
    CHECK(std::abs(rate.overall - 0.185) < 0.005);
    CHECK(rate.by_class[5] - rate.by_class[3] == Approx(0.16).epsilon(1e-9));  // (2800 - 2000) / 5000, whoever comes back
    for (const std::size_t c : {2, 4, 9}) CHECK(rate.by_class[c] == Approx(0.4).epsilon(1e-12));
    for (const std::size_t c : {0, 1, 6, 7, 8}) CHECK(rate.by_class[c] == 0);
    const auto counts = transitions(clean, noisy);
    CHECK(counts[3][5] + counts[5][5] == 4200);
    CHECK(counts[3][3] + counts[5][3] == 5800);
  }
  const NoiseRate lower =
      noise_rate(mapped_noise(clean, {.rate = 0.2, .flips = heft::data::cifar10_flips(), .from = FlipFrom::flipped}));
  CHECK(std::abs(lower.by_class[3] - 0.158) < 0.02);
  CHECK(std::abs(lower.overall - 0.096) < 0.005);
  // In a chain all flip on: 0 becomes 1, with 1 becomes 2.
  const DatasetPtr three = balanced(50, 3);
  MappedNoiseOptions chain{.rate = 1, .flips = {{0, 1}, {1, 2}}, .from = FlipFrom::flipped};
  CHECK(mapped_noise(three, chain)->labels() == Labels(150, 2));
  chain.count = FlipCount::independent;
  CHECK(mapped_noise(three, chain)->labels() == Labels(150, 2));
  chain.from = FlipFrom::original;
  CHECK(transitions(three, mapped_noise(three, chain)) == std::vector<Labels>{{0, 50, 0}, {0, 0, 50}, {0, 0, 50}});
}

TEST_CASE("mapped noise: CIFAR-100's blocks of five and pair flips", "[data][noise]") {
  const auto flips = heft::data::cifar100_flips();
  REQUIRE(flips.size() == 100);
  std::set<std::int64_t> targets;
  for (const ClassFlip& flip : flips) {
    CHECK(flip.to / 5 == flip.from / 5);
    CHECK(flip.to % 5 == (flip.from % 5 + 1) % 5);
    targets.insert(flip.to);
  }
  CHECK(targets.size() == 100);
  const NoiseRate rate =
      noise_rate(mapped_noise(balanced(100, 100), {.rate = 0.3, .flips = flips, .count = FlipCount::independent}));
  CHECK(near(rate.overall, 0.3, 10000));
  const DatasetPtr clean = balanced(10, 3);
  CHECK(transitions(clean, mapped_noise(clean, {.rate = 0.2, .flips = heft::data::pair_flips(3)})) ==
        std::vector<Labels>{{8, 2, 0}, {0, 8, 2}, {2, 0, 8}});
  CHECK_THROWS_AS(heft::data::pair_flips(1), heft::ValueError);
}

TEST_CASE("noise on a part of a class, on copies, on noise", "[data][noise]") {
  const DatasetPtr clean = balanced(20, 2), part = heft::data::subset(clean, {0, 2, 4, 6, 1, 0});
  const DatasetPtr noisy = symmetric_noise(part, {.rate = 0.5});
  CHECK(noisy->source_size() == 40);
  CHECK(noisy->indices() == Labels{0, 2, 4, 6, 1, 0});
  CHECK(noisy->labels()[0] == noisy->labels()[5]);
  const DatasetPtr back = mapped_noise(mapped_noise(clean, {.rate = 1, .flips = {{0, 1}}}), {.rate = 1, .flips = {{1, 0}}});
  for (std::int64_t i = 0; i < 40; ++i) CHECK(back->get(i).label == 0);
  CHECK(back->get(1).clean_label == 1);  // from before any noise
  CHECK(back->get(0).clean_label == 0);
  CHECK(noise_rate(back).overall == 0.5);
}

TEST_CASE("noise: options outside their domain are named", "[data][noise]") {
  const DatasetPtr clean = balanced(5, 3);
  const auto symmetric = [&](const SymmetricNoiseOptions& options) {
    return message_of<heft::ValueError>([&] { symmetric_noise(clean, options); });
  };
  CHECK(contains(symmetric({.rate = -0.1}), "[symmetric_noise] expected rate in [0, 1]; got -0.1"));
  CHECK(contains(symmetric({.rate = 1.5}), "got 1.5"));
  CHECK(contains(symmetric({.rate = std::nan("")}), "got nan"));
  CHECK(contains(message_of<heft::ValueError>([] { symmetric_noise(balanced(5, 1), {.rate = 0.5}); }), "two or more classes"));
  CHECK_THROWS_AS(symmetric_noise(nullptr, {.rate = 0.1}), heft::ValueError);
  const auto mapped = [&](const MappedNoiseOptions& options) {
    return message_of<heft::ValueError>([&] { mapped_noise(clean, options); });
  };
  CHECK(contains(mapped({.rate = 2, .flips = {{0, 1}}}), "[mapped_noise] expected rate in [0, 1]; got 2"));
  CHECK(contains(mapped({.rate = 0.1}), "expected flips, e.g. cifar10_flips(); got none"));
  CHECK(contains(mapped({.rate = 0.1, .flips = heft::data::cifar10_flips()}), "classes in [0, 3); got 9 to 1"));
  CHECK(contains(mapped({.rate = 0.1, .flips = {{1, 1}}}), "got 1 to itself"));
  CHECK(contains(mapped({.rate = 0.1, .flips = {{0, 1}, {0, 2}}}), "class 0 has two"));
  CHECK(contains(mapped({.rate = 0.1, .flips = {{0, 1}}, .count = FlipCount::overall, .from = FlipFrom::flipped}),
                 "got overall"));
  const DatasetPtr wrong = heft::data::map(clean, [](heft::data::Sample sample) {
    sample.label = sample.index == 2 ? 7 : 0;
    return sample;
  });
  CHECK(contains(message_of<heft::DataError>([&] { symmetric_noise(wrong, {.rate = 0.1}); }), "sample 2 has 7 and 2"));
}
