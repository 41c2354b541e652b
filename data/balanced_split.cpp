#include "data/balanced_split.h"

#include <vector>

#include "core/check.h"
#include "core/random.h"

namespace heft::data {

Split balanced_split(const DatasetPtr& dataset, std::int64_t per_class, std::uint64_t seed) {
  constexpr const char* kOp = "balanced_split";
  check(dataset != nullptr, kOp, "expected a data set; got a null pointer");
  check(per_class >= 1, kOp, "expected at least one sample per class; got {}", per_class);
  const std::vector<std::int64_t> labels = dataset->labels();
  const std::vector<std::int64_t> counts = class_counts(dataset);
  // Each class has a random order of its members, and gives those that come first in it.
  std::vector<std::vector<std::int64_t>> orders;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    check(counts[c] > per_class, kOp, "expected more than {} samples of every class; class {} has {}", per_class, c, counts[c]);
    orders.push_back(random_permutation(counts[c], {.seed = seed, .stream = stream_of(kOp, c)}));
  }
  std::vector<std::size_t> met(counts.size(), 0);
  std::vector<std::int64_t> kept, held_out;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto c = static_cast<std::size_t>(labels[i]);
    (orders[c][met[c]++] < per_class ? held_out : kept).push_back(static_cast<std::int64_t>(i));
  }
  return {subset(dataset, std::move(kept)), subset(dataset, std::move(held_out))};
}

}  // namespace heft::data
