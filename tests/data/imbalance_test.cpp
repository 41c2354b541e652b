#include "data/imbalance.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/error.h"
#include "tests/catch_compat.h"

using heft::Tensor;
using heft::data::class_counts;
using heft::data::class_weights;
using heft::data::ClassOrder;
using heft::data::DatasetPtr;
using heft::data::long_tailed;
using heft::data::long_tailed_counts;
using heft::data::Profile;
using heft::data::Selection;
using heft::data::WeightMean;
using heft::data::WeightScheme;
using heft::test::contains;
using heft::test::message_of;
using Counts = std::vector<std::int64_t>;

namespace {

DatasetPtr balanced(std::int64_t per_class, std::int64_t classes) {
  Counts labels;
  for (std::int64_t i = 0; i < per_class * classes; ++i) labels.push_back(i % classes);
  return heft::data::memory_dataset(Tensor::zeros({per_class * classes, 1, 1, 1}, heft::DType::u8), Tensor::from(labels));
}

Counts indices_of(const DatasetPtr& dataset) {
  Counts out;
  for (std::int64_t i = 0; i < dataset->size(); ++i) out.push_back(dataset->get(i).index);
  return out;
}

std::int64_t sum(const Counts& counts) { return std::accumulate(counts.begin(), counts.end(), std::int64_t{0}); }

}  // namespace

TEST_CASE("long tail: the published counts", "[data][imbalance]") {
  using P = Profile;
  CHECK(long_tailed_counts(5000, 10, P::exponential, 0.01) == Counts{5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50});
  CHECK(long_tailed_counts(5000, 10, P::exponential, 0.1) == Counts{5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500});
  CHECK(long_tailed_counts(5000, 10, P::step, 0.01) == Counts{5000, 5000, 5000, 5000, 5000, 50, 50, 50, 50, 50});
  CHECK(sum(long_tailed_counts(5000, 10, P::step, 0.1)) == 27500);
  CHECK(sum(long_tailed_counts(500, 100, P::exponential, 0.1)) == 19573);
  CHECK(sum(long_tailed_counts(500, 100, P::exponential, 0.01)) == 10847);
  CHECK(sum(long_tailed_counts(5000, 10, P::exponential, 0.005)) == 11203);
  CHECK(sum(long_tailed_counts(5000, 10, P::exponential, 0.02)) == 13996);
  CHECK(long_tailed_counts(4990, 10, P::exponential, 0.01) == Counts{4990, 2991, 1793, 1075, 644, 386, 231, 138, 83, 49});
  CHECK(long_tailed_counts(10, 3, P::step, 0.5) == Counts{10, 5, 5});
  CHECK(long_tailed_counts(7, 3, P::exponential, 1) == Counts{7, 7, 7});
}

TEST_CASE("long tail: the subset has the counts, in the order asked for", "[data][imbalance]") {
  const DatasetPtr full = balanced(100, 4);
  CHECK(class_counts(long_tailed(full, {.ratio = 0.1})) == Counts{100, 46, 21, 10});
  CHECK(class_counts(long_tailed(full, {.ratio = 0.1, .order = ClassOrder::reversed})) == Counts{10, 21, 46, 100});
  CHECK(class_counts(long_tailed(full, {.ratio = 0.1, .order = Counts{2, 0, 3, 1}})) == Counts{46, 10, 100, 21});
  CHECK(class_counts(long_tailed(full, {.profile = Profile::step, .ratio = 0.1})) == Counts{100, 100, 10, 10});
  const DatasetPtr tail = long_tailed(full, {.ratio = 0.1});
  CHECK(tail->source_size() == 400);
  const Counts indices = indices_of(tail);
  CHECK(std::set<std::int64_t>(indices.begin(), indices.end()).size() == indices.size());
}

TEST_CASE("long tail: the seed chooses the images, the ratio how many of them", "[data][imbalance]") {
  const DatasetPtr full = balanced(50, 3);
  const Counts first = indices_of(long_tailed(full, {.ratio = 0.2, .seed = 1}));
  CHECK(indices_of(long_tailed(full, {.ratio = 0.2, .seed = 1})) == first);
  CHECK(indices_of(long_tailed(full, {.ratio = 0.2, .seed = 2})) != first);
  const Counts reversed = indices_of(long_tailed(full, {.ratio = 0.2, .order = ClassOrder::reversed, .seed = 1}));
  Counts smaller = indices_of(long_tailed(full, {.ratio = 0.1, .seed = 1})), larger = first;
  std::sort(smaller.begin(), smaller.end());
  std::sort(larger.begin(), larger.end());
  CHECK(std::includes(larger.begin(), larger.end(), smaller.begin(), smaller.end()));
  CHECK(reversed.size() == first.size());
}

TEST_CASE("long tail: options outside their domain", "[data][imbalance]") {
  const DatasetPtr full = balanced(50, 3);
  const auto message = [&](heft::data::LongTailedOptions options) {
    return message_of<heft::ValueError>([&] { long_tailed(full, options); });
  };
  CHECK(contains(message({.ratio = 0}), "ratio in (0, 1]; got 0"));
  CHECK(contains(message({.ratio = 1.5}), "got 1.5"));
  CHECK(contains(message({.ratio = std::nan("")}), "got nan"));
  CHECK(contains(message({.ratio = 0.001}), "leaves every class an image"));
  CHECK(contains(message({.ratio = 0.1, .order = Counts{0, 1}}), "each of 3 classes once; got (0, 1)"));
  CHECK(contains(message({.ratio = 0.1, .order = Counts{0, 1, 1}}), "each of 3 classes once"));
  CHECK(contains(message({.ratio = 0.1, .order = Counts{}}), "each of 3 classes once; got ()"));
  CHECK(contains(message({.ratio = 0.1, .selection = Selection::numpy_legacy, .seed = std::uint64_t{1} << 32}),
                 "expected a seed in [0, 2^32), as NumPy does; got 4294967296"));
  CHECK_THROWS_AS(long_tailed(balanced(50, 1)), heft::ValueError);
  CHECK_THROWS_AS(long_tailed(heft::data::subset(full, {0, 1})), heft::ValueError);  // class 2 is empty
  CHECK_THROWS_AS(long_tailed(nullptr), heft::ValueError);
}

TEST_CASE("class weights: effective numbers as published", "[data][imbalance]") {
  const auto extremes = [](std::int64_t largest, std::int64_t classes, Profile profile, double ratio) {
    const auto weights =
        class_weights(long_tailed_counts(largest, classes, profile, ratio), {.scheme = WeightScheme::effective_number})
            .to_vector<double>();
    CHECK(std::accumulate(weights.begin(), weights.end(), 0.0) == Approx(classes).epsilon(1e-12));
    return std::pair(weights.front(), weights.back());
  };
  const auto near = [](double value, double published) {
    CHECK(std::abs(value - published) <= 0.00051 * std::max(1.0, published));
  };
  near(extremes(5000, 10, Profile::exponential, 0.01).first, 0.0506);
  near(extremes(5000, 10, Profile::exponential, 0.01).second, 3.993);
  near(extremes(5000, 10, Profile::exponential, 0.1).first, 0.292);
  near(extremes(5000, 10, Profile::exponential, 0.1).second, 2.359);
  near(extremes(500, 100, Profile::exponential, 0.01).second, 4.378);
  near(extremes(500, 100, Profile::step, 0.01).second, 1.980);
}

TEST_CASE("class weights: balanced, over classes and over samples", "[data][imbalance]") {
  const Counts counts{60, 30, 0, 10};
  const auto by_class = class_weights(counts).to_vector<double>();
  CHECK(by_class[0] * 60 == Approx(by_class[1] * 30));
  CHECK(by_class[3] * 10 == Approx(by_class[1] * 30));
  CHECK(by_class[2] == 0);
  CHECK(by_class[0] + by_class[1] + by_class[3] == Approx(3));
  const auto by_sample = class_weights(counts, {.mean_one_over = WeightMean::samples}).to_vector<double>();
  CHECK(by_sample[0] == Approx(100.0 / (3 * 60)));
  CHECK(60 * by_sample[0] + 30 * by_sample[1] + 10 * by_sample[3] == Approx(100));
  for (const double weight : class_weights({5, 5}, {.scheme = WeightScheme::effective_number, .beta = 0}).to_vector<double>())
    CHECK(weight == Approx(1));
  CHECK_THROWS_AS(class_weights({0, 0}), heft::ValueError);
  CHECK_THROWS_AS(class_weights({}), heft::ValueError);
  CHECK_THROWS_AS(class_weights({3, -1}), heft::ValueError);
  CHECK(contains(message_of<heft::ValueError>([] { class_weights({3}, {.beta = 1}); }), "beta in [0, 1); got 1"));
}
