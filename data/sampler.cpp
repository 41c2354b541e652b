#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "core/random.h"

namespace heft::data {

Sampler sequential_sampler(std::int64_t n) {
  check(n >= 0, "sequential_sampler", "expected n >= 0; got {}", n);
  return {n, [n](std::uint64_t, std::uint64_t) {
            std::vector<std::int64_t> positions(static_cast<std::size_t>(n));
            std::iota(positions.begin(), positions.end(), 0);
            return positions;
          }};
}

Sampler shuffled_sampler(std::int64_t n) {
  check(n >= 0, "shuffled_sampler", "expected n >= 0; got {}", n);
  return {n, [n](std::uint64_t seed, std::uint64_t epoch) {
            return random_permutation(n, {.seed = seed, .stream = stream_of("data.shuffled_sampler", epoch)});
          }};
}

Sampler weighted_sampler(std::vector<double> weights, std::int64_t draws) {
  constexpr const char* kOp = "weighted_sampler";
  check(draws >= 0, kOp, "expected draws >= 0; got {}", draws);
  if (draws == 0) draws = static_cast<std::int64_t>(weights.size());
  double sum = 0;
  std::int64_t last = -1;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    check(std::isfinite(weights[i]) && weights[i] >= 0, kOp, "expected finite weights >= 0; weight {} is {}", i, weights[i]);
    if (weights[i] > 0) last = static_cast<std::int64_t>(i);
    weights[i] = sum += weights[i];
  }
  check(last >= 0 && std::isfinite(sum), kOp, "expected a positive weight and a finite sum; the sum of {} weights is {}",
        weights.size(), sum);
  return {draws, [ends = std::move(weights), last, draws](std::uint64_t seed, std::uint64_t epoch) {
            RandomSequence random({.seed = seed, .stream = stream_of("data.weighted_sampler", epoch)});
            std::vector<std::int64_t> positions(static_cast<std::size_t>(draws));
            for (std::int64_t& position : positions) {
              const auto end = std::upper_bound(ends.begin(), ends.end(), random.uniform() * ends.back());
              position = std::min<std::int64_t>(end - ends.begin(), last);  // the product may round up to the sum
            }
            return positions;
          }};
}

Sampler class_balanced_sampler(const DatasetPtr& dataset, std::int64_t draws) {
  const std::vector<std::int64_t> counts = class_counts(dataset);
  std::vector<double> weights;
  for (const std::int64_t label : dataset->labels())
    weights.push_back(1.0 / static_cast<double>(counts[static_cast<std::size_t>(label)]));
  return weighted_sampler(std::move(weights), draws);
}

}  // namespace heft::data
