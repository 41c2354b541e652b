#include "data/balanced_split.h"

#include <set>
#include <vector>

#include "core/error.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

TEST_CASE("balanced_split: as many of each class, each sample on one side, in order", "[data][split]") {
  std::vector<std::int64_t> labels(100, 0);
  for (std::size_t i = 0; i < 10; ++i) labels[i * 7] = 1;
  for (std::size_t i = 80; i < 84; ++i) labels[i] = 2;
  const data::DatasetPtr dataset = data::memory_dataset(Tensor::zeros({100, 1, 2, 2}), Tensor::from(labels));
  const data::Split split = data::balanced_split(dataset, 3, 5);
  CHECK(data::class_counts(split.held_out) == std::vector<std::int64_t>{3, 3, 3});
  CHECK(data::class_counts(split.kept) == std::vector<std::int64_t>{83, 7, 1});
  std::set<std::int64_t> seen;
  for (const data::DatasetPtr& part : {split.kept, split.held_out}) {
    std::int64_t last = -1;
    for (std::int64_t i = 0; i < part->size(); ++i) {
      CHECK(seen.insert(part->get(i).index).second);
      CHECK(part->get(i).index > last);
      last = part->get(i).index;
    }
  }
  CHECK(seen.size() == 100);

  const auto indices = [&](std::uint64_t seed) {
    std::vector<std::int64_t> all;
    const data::DatasetPtr held = data::balanced_split(dataset, 3, seed).held_out;
    for (std::int64_t i = 0; i < held->size(); ++i) all.push_back(held->get(i).index);
    return all;
  };
  CHECK(indices(5) == indices(5));
  CHECK(indices(5) != indices(6));
  CHECK(message_of<ValueError>([&] { data::balanced_split(dataset, 4); }) ==
        "[balanced_split] expected more than 4 samples of every class; class 2 has 4");
  CHECK_THROWS_AS(data::balanced_split(dataset, 0), ValueError);
  CHECK_THROWS_AS(data::balanced_split(nullptr, 1), ValueError);
}
