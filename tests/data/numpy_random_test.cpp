// Against tests/golden/numpy_subsets.json, which make_numpy_subsets.py beside it wrote with NumPy.
#include "data/numpy_random.h"

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "data/imbalance.h"
#include "tests/catch_compat.h"

using heft::data::DatasetPtr;
using heft::data::NumpyRandomState;
using Numbers = std::vector<std::int64_t>;

namespace {

const nlohmann::json& golden() {
  static const nlohmann::json all = nlohmann::json::parse(std::ifstream("tests/golden/numpy_subsets.json"));
  return all;
}

void check_numbers(const Numbers& numbers, const nlohmann::json& expected) {
  CHECK(numbers.size() == expected["size"].get<std::size_t>());
  const auto first = expected["first"].get<Numbers>();
  REQUIRE(first.size() <= numbers.size());
  CHECK(Numbers(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(first.size())) == first);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::int64_t number : numbers)
    for (int shift = 0; shift < 32; shift += 8)
      hash = (hash ^ (static_cast<std::uint64_t>(number) >> shift & 0xff)) * 0x100000001b3u;
  CHECK(hash == std::stoull(expected["fnv1a"].get<std::string>(), nullptr, 16));
}

// The made-up labels of the script, in images of one pixel.
DatasetPtr full_size(std::int64_t classes) {
  Numbers labels;
  for (std::int64_t i = 0; i < 50000; ++i) labels.push_back((7 * i + i / classes) % classes);
  return heft::data::memory_dataset(heft::Tensor::zeros({50000, 1, 1, 1}, heft::DType::u8), heft::Tensor::from(labels));
}

}  // namespace

TEST_CASE("numpy's generator: the words and shuffles of numpy.random.seed", "[data][numpy]") {
  for (const nlohmann::json& item : golden()["words"]) {
    NumpyRandomState random(item["seed"].get<std::uint64_t>());
    Numbers words;
    for (int i = 0; i < 2000; ++i) words.push_back(random.bits());
    check_numbers(words, item["words"]);
  }
  for (const nlohmann::json& item : golden()["shuffles"]) {
    NumpyRandomState random(item["seed"].get<std::uint64_t>());
    Numbers order(item["n"].get<std::size_t>());
    std::iota(order.begin(), order.end(), 0);
    random.shuffle(std::span(order));
    check_numbers(order, item["order"]);
    CHECK(random.bits() == item["after"].get<std::uint32_t>());
  }
  CHECK_THROWS_AS(NumpyRandomState(std::uint64_t{1} << 32), heft::ValueError);
}

TEST_CASE("numpy's generator: an interval is reached at both ends, evenly", "[data][numpy]") {
  NumpyRandomState random(3), same(3);
  for (int i = 0; i < 100; ++i) CHECK(random.interval(0) == 0);  // uses no number up
  CHECK(random.interval(0xffffffffu) == same.bits());
  std::vector<int> seen(6);
  for (int i = 0; i < 6000; ++i) ++seen.at(random.interval(5));
  for (const int count : seen) CHECK(std::abs(count - 1000) < 150);  // 5 standard deviations
}

TEST_CASE("long tail: the very images of the published imbalanced CIFAR", "[data][numpy][imbalance]") {
  for (const nlohmann::json& item : golden()["subsets"]) {
    const auto classes = item["classes"].get<std::int64_t>();
    const DatasetPtr full = full_size(classes);
    const bool step = item["profile"] == "step";
    heft::data::LongTailedOptions options{.profile = step ? heft::data::Profile::step : heft::data::Profile::exponential,
                                          .ratio = item["ratio"].get<double>(),
                                          .selection = heft::data::Selection::numpy_legacy,
                                          .seed = item["seed"].get<std::uint64_t>()};
    const auto indices_of = [](const DatasetPtr& dataset) {
      Numbers out;
      for (std::int64_t i = 0; i < dataset->size(); ++i) out.push_back(dataset->get(i).index);
      return out;
    };
    const Numbers kept = indices_of(heft::data::long_tailed(full, options));
    check_numbers(kept, item["kept"]);
    const auto of_last = item["first_of_last_class"].get<Numbers>();
    const std::int64_t last_count =
        heft::data::long_tailed_counts(50000 / classes, classes, options.profile, options.ratio).back();
    for (std::size_t i = 0; i < of_last.size(); ++i)
      CHECK(kept[kept.size() - static_cast<std::size_t>(last_count) + i] == of_last[i]);

    // Another order of the classes shuffles them as before: the last class, now the largest, begins with the same images.
    options.order = heft::data::ClassOrder::reversed;
    const Numbers reversed = indices_of(heft::data::long_tailed(full, options));
    REQUIRE(reversed.size() == kept.size());
    CHECK(Numbers(reversed.begin(), reversed.begin() + static_cast<std::ptrdiff_t>(of_last.size())) == of_last);
  }
}
