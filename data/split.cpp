#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/random.h"

namespace heft::data {

Split stratified_split(const DatasetPtr& dataset, double fraction, std::uint64_t seed) {
  check(dataset != nullptr, "stratified_split", "expected a data set; got a null pointer");
  check(fraction > 0 && fraction < 1, "stratified_split", "expected a fraction in (0, 1); got {}", fraction);
  std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(dataset->classes()));
  const std::vector<std::int64_t> labels = dataset->labels();
  for (std::size_t i = 0; i < labels.size(); ++i)
    members[static_cast<std::size_t>(labels[i])].push_back(static_cast<std::int64_t>(i));
  std::vector<bool> held(labels.size(), false);
  for (std::size_t label = 0; label < members.size(); ++label) {
    const auto n = static_cast<std::int64_t>(members[label].size());
    if (n < 2) continue;
    const auto take = std::clamp<std::int64_t>(std::llround(fraction * static_cast<double>(n)), 1, n - 1);
    const std::vector<std::int64_t> order =
        random_permutation(n, {.seed = seed, .stream = stream_of("stratified_split", label)});
    for (std::int64_t k = 0; k < take; ++k)
      held[static_cast<std::size_t>(members[label][static_cast<std::size_t>(order[static_cast<std::size_t>(k)])])] = true;
  }
  std::vector<std::int64_t> kept, held_out;
  for (std::size_t i = 0; i < held.size(); ++i) (held[i] ? held_out : kept).push_back(static_cast<std::int64_t>(i));
  return {subset(dataset, std::move(kept)), subset(dataset, std::move(held_out))};
}

}  // namespace heft::data
