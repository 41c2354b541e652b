#include "data/split.h"

#include <set>
#include <vector>

#include "core/error.h"
#include "tests/catch_compat.h"

using namespace heft;

TEST_CASE("stratified_split: a share of each class, each sample on one side", "[data][split]") {
  std::vector<std::int64_t> labels(100, 0);
  for (std::size_t i = 0; i < 10; ++i) labels[i * 7] = 1;
  labels[50] = 2;
  const data::DatasetPtr dataset = data::memory_dataset(Tensor::zeros({100, 1, 2, 2}), Tensor::from(labels), {.classes = 4});
  const data::Split split = data::stratified_split(dataset, 0.2, 3);
  CHECK(data::class_counts(split.held_out) == std::vector<std::int64_t>{18, 2, 0, 0});
  CHECK(data::class_counts(split.kept) == std::vector<std::int64_t>{71, 8, 1, 0});
  std::set<std::int64_t> seen;
  for (const data::DatasetPtr& part : {split.kept, split.held_out})
    for (std::int64_t i = 0; i < part->size(); ++i) CHECK(seen.insert(part->get(i).index).second);
  CHECK(seen.size() == 100);

  const auto indices = [&](std::uint64_t seed) {
    std::vector<std::int64_t> all;
    const data::DatasetPtr held = data::stratified_split(dataset, 0.2, seed).held_out;
    for (std::int64_t i = 0; i < held->size(); ++i) all.push_back(held->get(i).index);
    return all;
  };
  CHECK(indices(3) == indices(3));
  CHECK(indices(3) != indices(4));
  CHECK(data::class_counts(data::stratified_split(dataset, 0.01).held_out) == std::vector<std::int64_t>{1, 1, 0, 0});
  CHECK(data::class_counts(data::stratified_split(dataset, 0.99).kept) == std::vector<std::int64_t>{1, 1, 1, 0});
  CHECK_THROWS_AS(data::stratified_split(dataset, 0), ValueError);
  CHECK_THROWS_AS(data::stratified_split(dataset, 1), ValueError);
  CHECK_THROWS_AS(data::stratified_split(nullptr, 0.5), ValueError);
}
