#include "data/metrics.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "tests/catch_compat.h"

using heft::Tensor;
using heft::data::ConfusionMatrix;
using heft::data::shot_accuracy;
using heft::test::contains;
using heft::test::message_of;
using Classes = std::vector<std::int64_t>;

namespace {

ConfusionMatrix matrix(std::int64_t classes, const Classes& predictions, const Classes& labels) {
  ConfusionMatrix out(classes);
  out.add(Tensor::from(predictions), Tensor::from(labels));
  return out;
}

}  // namespace

TEST_CASE("metrics agree with counting by hand", "[data][metrics]") {
  heft::RandomSequence random({.seed = 3});
  constexpr std::int64_t kClasses = 7;
  Classes predictions, labels;
  for (int i = 0; i < 500; ++i) {
    labels.push_back(static_cast<std::int64_t>(random.below(kClasses - 1)));  // class 6 never comes
    predictions.push_back(random.uniform() < 0.6 ? labels.back() : static_cast<std::int64_t>(random.below(kClasses)));
  }
  ConfusionMatrix all(kClasses), second(kClasses);
  for (std::int64_t begin = 0; begin < 500; begin += 100)
    (begin < 200 ? all : second)
        .add(Tensor::from(predictions).slice(0, begin, begin + 100), Tensor::from(labels).slice(0, begin, begin + 100));
  all.merge(second);
  double correct = 0, recalls = 0, worst = 1;
  for (std::int64_t c = 0; c < kClasses - 1; ++c) {
    double hits = 0, samples = 0;
    for (std::size_t i = 0; i < labels.size(); ++i)
      if (labels[i] == c) {
        ++samples;
        hits += predictions[i] == c;
      }
    CHECK(static_cast<double>(all.support(c)) == samples);
    CHECK(*all.recall(c) == Approx(hits / samples).epsilon(1e-12));
    correct += hits;
    recalls += hits / samples;
    worst = std::min(worst, hits / samples);
  }
  CHECK(all.total() == 500);
  CHECK(all.accuracy() == Approx(correct / 500).epsilon(1e-12));
  CHECK(all.balanced_accuracy() == Approx(recalls / (kClasses - 1)).epsilon(1e-12));
  CHECK(all.worst_class_accuracy() == Approx(worst).epsilon(1e-12));
  CHECK(*all.recall(*all.worst_class()) == all.worst_class_accuracy());
  CHECK_FALSE(all.recall(6).has_value());
  CHECK_FALSE(all.per_class_accuracy()[6].has_value());
  std::int64_t off = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) off += labels[i] == 2 && predictions[i] == 5;
  CHECK(all.count(2, 5) == off);
  CHECK(all.counts().to_vector<std::int64_t>()[2 * kClasses + 5] == off);
}

TEST_CASE("metrics of nothing are numbers", "[data][metrics]") {
  const ConfusionMatrix empty(3);
  CHECK(empty.accuracy() == 0);
  CHECK(empty.balanced_accuracy() == 0);
  CHECK(empty.worst_class_accuracy() == 0);
  CHECK_FALSE(empty.worst_class().has_value());
  CHECK_FALSE(shot_accuracy(empty, {1, 50, 500}).many.has_value());
}

TEST_CASE("metrics by the number of training images", "[data][metrics]") {
  //                                          class 0: 1/2        1: 1/1 2: 0/1 3: 1/1  4: absent
  const ConfusionMatrix confusion = matrix(5, {0, 1, 1, 0, 3}, {0, 0, 1, 2, 3});
  const auto shots = shot_accuracy(confusion, {101, 100, 20, 19, 1000});
  CHECK(*shots.many == Approx(0.5));
  CHECK(*shots.medium == Approx(0.5));
  CHECK(*shots.few == Approx(1));
  const auto moved = shot_accuracy(confusion, {101, 100, 20, 19, 1000}, {.many = 19, .few = 0});
  CHECK(*moved.many == Approx(0.5));
  CHECK(*moved.medium == Approx(1));
  CHECK_FALSE(moved.few.has_value());
  CHECK_THROWS_AS(shot_accuracy(confusion, {1, 2}), heft::ValueError);
  CHECK_THROWS_AS(shot_accuracy(confusion, {1, 1, 1, 1, 1}, {.many = 5, .few = 6}), heft::ValueError);
}

TEST_CASE("metrics refuse what does not fit and stay as they were", "[data][metrics]") {
  ConfusionMatrix confusion(3);
  const auto message = [&](const Classes& predictions, const Classes& labels) {
    return message_of<heft::ValueError>([&] { confusion.add(Tensor::from(predictions), Tensor::from(labels)); });
  };
  CHECK(contains(message({0, 1}, {0, 3}), "labels in [0, 3); entry 1 is 3"));
  CHECK(contains(message({0, -1}, {0, 1}), "predictions in [0, 3); entry 1 is -1"));
  CHECK(confusion.total() == 0);
  CHECK_THROWS_AS(confusion.add(Tensor::from(Classes{0}), Tensor::from(Classes{0, 1})), heft::ShapeError);
  CHECK_THROWS_AS(confusion.add(Tensor::zeros({2}), Tensor::from(Classes{0, 1})), heft::DTypeError);
  CHECK_THROWS_AS(confusion.merge(ConfusionMatrix(2)), heft::ValueError);
  CHECK_THROWS_AS(confusion.recall(3), heft::ValueError);
  CHECK_THROWS_AS(ConfusionMatrix(0), heft::ValueError);
}
