#include "data/dataset.h"

#include <algorithm>

#include "core/error.h"
#include "core/ops.h"
#include "tests/catch_compat.h"

using heft::DataError;
using heft::DType;
using heft::Shape;
using heft::Tensor;
using heft::data::Batch;
using heft::data::DatasetPtr;
using heft::data::memory_dataset;
using heft::data::Sample;
using heft::test::contains;
using heft::test::message_of;

namespace {

Tensor labels_of(const std::vector<std::int64_t>& values) { return Tensor::from(values); }

// n samples; image i is (1, 1, 2) with both pixels i, label i % classes.
DatasetPtr numbered(std::int64_t n, std::int64_t classes) {
  std::vector<float> pixels;
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    pixels.insert(pixels.end(), 2, static_cast<float>(i));
    labels.push_back(i % classes);
  }
  return memory_dataset(Tensor::from(pixels, {n, 1, 1, 2}), Tensor::from(labels), {.classes = classes});
}

void check_same(const Batch& batch, const heft::data::Dataset& dataset, const std::vector<std::int64_t>& positions) {
  REQUIRE(batch.size() == static_cast<std::int64_t>(positions.size()));
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const Sample sample = dataset.get(positions[i]);
    const auto row = static_cast<std::int64_t>(i);
    CHECK(batch.images.select(0, row).to_vector<float>() == sample.image.to_vector<float>());
    CHECK(batch.labels.select(0, row).item<std::int64_t>() == sample.label);
    CHECK(batch.indices.select(0, row).item<std::int64_t>() == sample.index);
  }
}

}  // namespace

TEST_CASE("memory dataset: u8 images become fractions, f32 images stay", "[data]") {
  const DatasetPtr bytes =
      memory_dataset(Tensor::from(std::vector<std::uint8_t>{0, 51, 255, 102}, {2, 1, 1, 2}), labels_of({0, 2}));
  CHECK(bytes->size() == 2);
  CHECK(bytes->classes() == 3);
  CHECK(bytes->get(1).image.shape() == Shape{1, 1, 2});
  CHECK(bytes->get(0).image.to_vector<float>() == std::vector<float>{0, 51 / 255.0f});
  CHECK(bytes->get(1).label == 2);
  CHECK(bytes->get(1).index == 1);
  CHECK(bytes->get(1).group == -1);
  CHECK(bytes->get(1).clean_label == -1);
  const DatasetPtr floats = memory_dataset(Tensor::from(std::vector<float>{-3, 7.5f}, {2, 1, 1, 1}), labels_of({0, 1}));
  CHECK(floats->get(1).image.to_vector<float>() == std::vector<float>{7.5f});
}

TEST_CASE("memory dataset: groups and clean labels travel along", "[data]") {
  const DatasetPtr dataset = memory_dataset(Tensor::zeros({3, 1, 1, 1}), labels_of({0, 1, 1}),
                                            {.groups = labels_of({5, 6, 7}), .clean_labels = labels_of({0, 0, 1})});
  CHECK(dataset->get(1).group == 6);
  CHECK(dataset->get(1).clean_label == 0);
  const Batch batch = dataset->get_batch(std::vector<std::int64_t>{2, 0});
  CHECK(batch.groups.to_vector<std::int64_t>() == std::vector<std::int64_t>{7, 5});
  CHECK(batch.clean_labels.to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 0});
  const auto same = heft::data::map(dataset, [](Sample sample) { return sample; });
  CHECK(same->get_batch(std::vector<std::int64_t>{2, 0}).groups.to_vector<std::int64_t>() == std::vector<std::int64_t>{7, 5});
  const Batch none = numbered(3, 2)->get_batch(std::vector<std::int64_t>{1});
  CHECK_FALSE(none.groups.defined());
  CHECK_FALSE(none.clean_labels.defined());
}

TEST_CASE("memory dataset: what does not fit is refused with its numbers", "[data]") {
  const Tensor images = Tensor::zeros({3, 1, 2, 2});
  CHECK(contains(message_of<DataError>([&] {
                   memory_dataset(images, labels_of({0, 4, 1}), {.classes = 4});
                 }),
                 "expected labels in [0, 4); sample 1 has 4"));
  CHECK(contains(message_of<DataError>([&] { memory_dataset(images, labels_of({0, 1, -1})); }), "sample 2 has -1"));
  CHECK(contains(message_of<heft::ShapeError>([&] { memory_dataset(images, labels_of({0, 1})); }), "shape (3)"));
  CHECK(contains(message_of<heft::ShapeError>([&] { memory_dataset(Tensor::scalar(1), labels_of({0})); }), "(N, ...)"));
  CHECK(contains(message_of<heft::DTypeError>([&] {
                   memory_dataset(images.astype(DType::f64), labels_of({0, 1, 1}));
                 }),
                 "f64"));
  CHECK(contains(message_of<heft::DTypeError>([&] { memory_dataset(images, Tensor::zeros({3})); }), "dtype i64"));
  CHECK(contains(message_of<heft::ValueError>([&] {
                   memory_dataset(images, labels_of({0, 1, 1}), {.class_names = {"a"}});
                 }),
                 "one class name per class"));
  CHECK_THROWS_AS(memory_dataset({}, {}), heft::ValueError);
  CHECK_THROWS_AS(numbered(3, 2)->get(3), heft::ShapeError);
  CHECK_THROWS_AS(numbered(3, 2)->get_batch(std::vector<std::int64_t>{0, -1}), heft::ShapeError);
}

TEST_CASE("subset and shuffled keep the index of the source", "[data]") {
  const DatasetPtr source = numbered(10, 3);
  const DatasetPtr part = heft::data::subset(source, {7, 2, 2});
  CHECK(part->size() == 3);
  CHECK(part->source_size() == 10);
  CHECK(part->get(0).index == 7);
  CHECK(part->labels() == std::vector<std::int64_t>{1, 2, 2});
  check_same(part->get_batch(std::vector<std::int64_t>{2, 0}), *part, {2, 0});
  const DatasetPtr inner = heft::data::subset(part, {1});
  CHECK(inner->get(0).index == 2);
  CHECK(inner->get(0).image.to_vector<float>() == std::vector<float>{2, 2});
  CHECK(contains(message_of<heft::ShapeError>([&] { heft::data::subset(source, {0, 10}); }), "[0, 10); got 10"));

  const DatasetPtr mixed = heft::data::shuffled(source, 3);
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < 10; ++i) order.push_back(mixed->get(i).index);
  CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
  for (std::int64_t i = 0; i < 10; ++i)
    CHECK(heft::data::shuffled(source, 3)->get(i).index == order[static_cast<std::size_t>(i)]);
  std::sort(order.begin(), order.end());
  CHECK(order == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("map changes samples, and its labels are the changed ones", "[data]") {
  const DatasetPtr mapped = heft::data::map(numbered(4, 2), [](Sample sample) {
    sample.clean_label = sample.label;
    sample.label = 1 - sample.label;
    sample.image = sample.image * 10;
    return sample;
  });
  CHECK(mapped->labels() == std::vector<std::int64_t>{1, 0, 1, 0});
  CHECK(mapped->get(3).image.to_vector<float>() == std::vector<float>{30, 30});
  const Batch batch = mapped->get_batch(std::vector<std::int64_t>{3, 1});
  check_same(batch, *mapped, {3, 1});
  CHECK(batch.clean_labels.to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 1});
}

TEST_CASE("concat numbers its parts one after another", "[data]") {
  const DatasetPtr first = heft::data::subset(numbered(10, 3), {9, 4}), second = numbered(3, 3);
  const DatasetPtr both = heft::data::concat({first, second});
  CHECK(both->size() == 5);
  CHECK(both->source_size() == 13);
  CHECK(both->labels() == std::vector<std::int64_t>{0, 1, 0, 1, 2});
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < 5; ++i) indices.push_back(both->get(i).index);
  CHECK(indices == std::vector<std::int64_t>{9, 4, 10, 11, 12});
  CHECK(both->indices() == indices);
  CHECK(heft::data::subset(both, {3, 0})->indices() == std::vector<std::int64_t>{11, 9});
  CHECK(heft::data::map(both, [](Sample sample) { return sample; })->indices() == indices);
  check_same(both->get_batch(std::vector<std::int64_t>{4, 0, 2}), *both, {4, 0, 2});
  CHECK_THROWS_AS(both->get(5), heft::ShapeError);
  CHECK_THROWS_AS(heft::data::concat({}), heft::ValueError);
  CHECK_THROWS_AS(heft::data::concat({first, numbered(3, 2)}), heft::ValueError);
  CHECK_THROWS_AS(heft::data::concat({first, nullptr}), heft::ValueError);
}

TEST_CASE("a sample that cannot be fetched is named", "[data]") {
  const DatasetPtr broken = heft::data::map(numbered(5, 2), [](Sample sample) {
    if (sample.index == 3) throw std::runtime_error("torn page");
    if (sample.index == 4) sample.image = Tensor::zeros({1, 2, 2});
    if (sample.index == 2) sample.image = {};
    return sample;
  });
  const auto message = [&](std::vector<std::int64_t> positions) {
    return message_of<DataError>([&] { broken->get_batch(positions); });
  };
  CHECK(contains(message({0, 3}), "sample 3 of the data set cannot be fetched; torn page"));
  CHECK(contains(message({0, 4}), "images of one shape, (1, 1, 2); sample 4 has (1, 2, 2)"));
  CHECK(contains(message({2}), "sample 2 has none"));
}

TEST_CASE("class_counts", "[data]") {
  CHECK(heft::data::class_counts(numbered(7, 3)) == std::vector<std::int64_t>{3, 2, 2});
  CHECK(heft::data::class_counts(heft::data::subset(numbered(7, 3), {0, 3})) == std::vector<std::int64_t>{2, 0, 0});
  const auto wrong = heft::data::map(numbered(3, 2), [](Sample sample) {
    sample.label = 9;
    return sample;
  });
  CHECK(contains(message_of<DataError>([&] { heft::data::class_counts(wrong); }), "sample 0 has 9"));
  CHECK_THROWS_AS(heft::data::class_counts(nullptr), heft::ValueError);
}
