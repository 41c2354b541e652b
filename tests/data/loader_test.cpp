#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <numeric>
#include <span>
#include <thread>

#include "core/error.h"
#include "tests/catch_compat.h"

using heft::Tensor;
using heft::data::Batch;
using heft::data::DatasetPtr;
using heft::data::Loader;
using heft::data::LoaderOptions;
using heft::data::Sample;
using heft::test::contains;
using heft::test::message_of;
using Indices = std::vector<std::int64_t>;

namespace {

DatasetPtr numbered(std::int64_t n, std::int64_t classes = 2) {
  std::vector<float> pixels;
  Indices labels;
  for (std::int64_t i = 0; i < n; ++i) {
    pixels.insert(pixels.end(), 2, static_cast<float>(i));
    labels.push_back(i % classes);
  }
  return heft::data::memory_dataset(Tensor::from(pixels, {n, 1, 1, 2}), Tensor::from(labels), {.classes = classes});
}

// The indices of one pass; checks that images and labels belong to them.
Indices pass(Loader& loader, std::int64_t classes = 2) {
  Indices out;
  std::int64_t batches = 0;
  for (const Batch& batch : loader) {
    const auto indices = batch.indices.to_vector<std::int64_t>();
    const auto labels = batch.labels.to_vector<std::int64_t>();
    const auto pixels = batch.images.to_vector<float>();
    REQUIRE(pixels.size() == 2 * indices.size());
    for (std::size_t i = 0; i < indices.size(); ++i) {
      CHECK(labels[i] == indices[i] % classes);
      CHECK(pixels[2 * i + 1] == static_cast<float>(indices[i]));
    }
    out.insert(out.end(), indices.begin(), indices.end());
    ++batches;
  }
  CHECK(batches == loader.size());
  return out;
}

// Workers finish in another order than they start.
DatasetPtr uneven(std::int64_t n) {
  return heft::data::map(numbered(n), [](Sample sample) {
    std::this_thread::sleep_for(std::chrono::microseconds(sample.index * 7919 % 400));
    return sample;
  });
}

}  // namespace

TEST_CASE("loader: every sample exactly once, in order unless shuffled", "[data][loader]") {
  Loader plain(numbered(10), {.batch_size = 4});
  CHECK(plain.size() == 3);
  CHECK(pass(plain) == Indices{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  Loader dropping(numbered(10), {.batch_size = 4, .drop_last = true});
  CHECK(dropping.size() == 2);
  CHECK(pass(dropping) == Indices{0, 1, 2, 3, 4, 5, 6, 7});
  Loader shuffling(numbered(1000), {.batch_size = 64, .shuffle = true});
  Indices seen = pass(shuffling);
  CHECK_FALSE(std::is_sorted(seen.begin(), seen.end()));
  std::sort(seen.begin(), seen.end());
  Indices all(1000);
  std::iota(all.begin(), all.end(), 0);
  CHECK(seen == all);
  Loader nothing(heft::data::subset(numbered(3), {}));
  CHECK(pass(nothing).empty());
  Loader dropped(numbered(3), {.drop_last = true});
  CHECK(pass(dropped).empty());
}

TEST_CASE("loader: the order depends on seed and epoch, not on the workers", "[data][loader]") {
  Loader reference(uneven(200), {.batch_size = 16, .shuffle = true, .seed = 7, .workers = 0});
  const Indices first = pass(reference), second = pass(reference);
  CHECK(first != second);
  CHECK(reference.epoch() == 2);
  for (const int workers : {1, 2, 5})
    for (const int prefetch : {1, 3, 20}) {
      Loader loader(uneven(200), {.batch_size = 16, .shuffle = true, .seed = 7, .workers = workers, .prefetch = prefetch});
      CHECK(pass(loader) == first);
      CHECK(pass(loader) == second);
    }
  Loader other(uneven(200), {.batch_size = 16, .shuffle = true, .seed = 8});
  CHECK(pass(other) != first);
  other = Loader(uneven(200), {.batch_size = 16, .shuffle = true, .seed = 7});
  other.set_epoch(1);
  CHECK(pass(other) == second);
}

TEST_CASE("loader: an epoch from within is the rest of it, and nothing else is prepared", "[data][loader]") {
  std::atomic<int> fetched{0};
  const DatasetPtr counted = heft::data::map(numbered(100), [&fetched](Sample sample) {
    ++fetched;
    return sample;
  });
  const auto noisy = [](Batch& batch, std::span<const heft::RandomKey> keys) {
    batch.labels = Tensor::full(batch.labels.shape(), static_cast<double>(keys[0].stream % 1000), heft::DType::i64);
  };
  using Rows = std::vector<std::vector<double>>;
  const auto rest = [](Loader& loader) {
    Rows rows;
    for (const Batch& batch : loader) {
      rows.push_back(batch.indices.to_vector<double>());
      rows.push_back(batch.labels.to_vector<double>());
    }
    return rows;
  };
  for (const int workers : {0, 1, 3}) {
    const LoaderOptions options{.batch_size = 16, .shuffle = true, .seed = 3, .workers = workers, .augment = noisy};
    Loader whole(counted, options), part(counted, options);
    whole.set_epoch(5);
    const Rows all = rest(whole), next = rest(whole);
    for (std::int64_t at = 0; at <= whole.size(); ++at) {
      part.set_epoch(5, at);
      fetched = 0;
      CHECK(rest(part) == Rows(all.begin() + 2 * at, all.end()));
      CHECK(fetched == std::max<std::int64_t>(0, 100 - 16 * at));
      CHECK(part.epoch() == 6);
      CHECK(rest(part) == next);
    }
    CHECK(contains(message_of<heft::ValueError>([&] { part.set_epoch(0, 8); }), "0 to 7 batches; got 8"));
    CHECK_THROWS_AS(part.set_epoch(0, -1), heft::ValueError);
  }
}

TEST_CASE("loader: leaving the loop early stops the workers", "[data][loader]") {
  std::atomic<int> fetched{0};
  const DatasetPtr counted = heft::data::map(numbered(1000), [&fetched](Sample sample) {
    ++fetched;
    return sample;
  });
  Loader loader(counted, {.batch_size = 10, .workers = 3, .prefetch = 4});
  for (const Batch& batch : loader) {
    CHECK(batch.size() == 10);
    break;
  }
  const int after = fetched;
  CHECK(after <= 10 * (1 + 4 + 3));  // bounded by what may be prepared ahead
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(fetched == after);
  Indices again = pass(loader);
  CHECK(again.size() == 1000);
}

TEST_CASE("loader: two passes at once do not disturb each other", "[data][loader]") {
  Loader loader(numbered(20), {.batch_size = 5, .shuffle = true});
  Indices outer, inner;
  for (const Batch& batch : loader) {
    if (outer.empty()) inner = pass(loader);
    const auto indices = batch.indices.to_vector<std::int64_t>();
    outer.insert(outer.end(), indices.begin(), indices.end());
  }
  Loader fresh(numbered(20), {.batch_size = 5, .shuffle = true});
  CHECK(outer == pass(fresh));
  CHECK(inner == pass(fresh));
}

TEST_CASE("loader: an error in a worker arrives where its batch would have, and names the sample", "[data][loader]") {
  const DatasetPtr broken = heft::data::map(numbered(100), [](Sample sample) {
    if (sample.index == 57) throw std::runtime_error("torn page");
    return sample;
  });
  for (const int workers : {0, 1, 3}) {
    Loader loader(broken, {.batch_size = 10, .workers = workers});
    int delivered = 0;
    const std::string message = message_of<heft::DataError>([&] {
      for (const Batch& batch : loader) delivered += static_cast<int>(batch.size());
    });
    CHECK(delivered == 50);
    CHECK(contains(message, "sample 57"));
    CHECK(contains(message, "torn page"));
  }
}

TEST_CASE("loader: normalises each channel", "[data][loader]") {
  const Tensor images = Tensor::from(std::vector<float>{1, 3, 10, 30, 5, 7, 50, 70}, {2, 2, 1, 2});
  const DatasetPtr dataset = heft::data::memory_dataset(images, Tensor::from(Indices{0, 1}));
  const heft::data::Normalization estimate = heft::data::estimate_normalization(dataset);
  CHECK(estimate.mean[0] == Approx(4));
  CHECK(estimate.mean[1] == Approx(40));
  CHECK(estimate.std[0] == Approx(std::sqrt(5)));
  CHECK(estimate.std[1] == Approx(std::sqrt(500)));
  Loader loader(dataset, {.batch_size = 2, .normalize = estimate});
  for (const Batch& batch : loader) {
    const auto x = batch.images.to_vector<float>();
    CHECK(x[0] == Approx(-3 / std::sqrt(5)));
    CHECK(x[7] == Approx(30 / std::sqrt(500)));
  }
  CHECK(images.to_vector<float>()[0] == 1);  // the data set's own values stay
  const auto message = [&](heft::data::Normalization normalization) {
    return message_of<heft::ValueError>([&] {
      Loader wrong(dataset, {.normalize = normalization});
      for (const Batch& batch : wrong) CHECK(batch.size() == 0);
    });
  };
  CHECK(contains(message({{0.5}, {1}}), "each of 2 channels; got 1 and 1"));
  CHECK(contains(message({{0, 0}, {1, 0}}), "channel 1 has 0 and 0"));
  CHECK_THROWS_AS(heft::data::estimate_normalization(heft::data::subset(dataset, {})), heft::ValueError);
}

TEST_CASE("loader: options outside their domain are named", "[data][loader]") {
  const auto message = [](LoaderOptions options) {
    return message_of<heft::ValueError>([&] { Loader(numbered(4), options); });
  };
  CHECK(contains(message({.batch_size = 0}), "batch_size >= 1; got 0"));
  CHECK(contains(message({.workers = -1}), "workers in [0, 256]; got -1"));
  CHECK(contains(message({.prefetch = 0}), "prefetch >= 1; got 0"));
  CHECK(contains(message({.shuffle = true, .sampler = heft::data::sequential_sampler(4)}), "got both"));
  CHECK_THROWS_AS(Loader(nullptr), heft::ValueError);
  const auto use = [](heft::data::Sampler sampler) {
    return message_of<heft::ValueError>([&] { Loader(numbered(4), {.sampler = sampler}).begin(); });
  };
  CHECK(contains(use(heft::data::sequential_sampler(5)), "positions in [0, 4) from the sampler; got 4"));
  CHECK(
      contains(use({.size = 2, .positions = [](std::uint64_t, std::uint64_t) { return Indices{0}; }}), "expected 2 positions"));
}

TEST_CASE("samplers: frequencies follow the weights, draws follow seed and epoch", "[data][loader]") {
  const auto sampler = heft::data::weighted_sampler({1, 0, 3, 6}, 100000);
  const Indices draws = sampler.positions(5, 0);
  CHECK(draws == sampler.positions(5, 0));
  CHECK(draws != sampler.positions(5, 1));
  CHECK(draws != sampler.positions(6, 0));
  for (const auto& [position, share] : {std::pair(0, 0.1), {1, 0.0}, {2, 0.3}, {3, 0.6}}) {
    const double observed = static_cast<double>(std::count(draws.begin(), draws.end(), position)) / 100000;
    CHECK(std::abs(observed - share) <= 5 * std::sqrt(share * (1 - share) / 100000));
  }
  CHECK(heft::data::weighted_sampler({2, 2, 2}).size == 3);
  CHECK_THROWS_AS(heft::data::weighted_sampler({}), heft::ValueError);
  CHECK_THROWS_AS(heft::data::weighted_sampler({0, 0}), heft::ValueError);
  CHECK(contains(message_of<heft::ValueError>([] { heft::data::weighted_sampler({1, -2}); }), "weight 1 is -2"));
  CHECK_THROWS_AS(heft::data::weighted_sampler({1, INFINITY}), heft::ValueError);
}

TEST_CASE("samplers: class-balanced draws every class alike", "[data][loader]") {
  const DatasetPtr skewed = heft::data::subset(numbered(100), {0, 2, 4, 6, 8, 10, 12, 14, 16, 1});  // nine of class 0
  Loader loader(skewed, {.batch_size = 100, .sampler = heft::data::class_balanced_sampler(skewed, 20000)});
  std::int64_t ones = 0;
  for (const Batch& batch : loader)
    for (const std::int64_t label : batch.labels.to_vector<std::int64_t>()) ones += label;
  CHECK(std::abs(static_cast<double>(ones) / 20000 - 0.5) <= 5 * 0.5 / std::sqrt(20000));
}
