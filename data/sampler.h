// Samplers: which positions of a data set an epoch visits, in which order.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "data/dataset.h"

namespace heft::data {

// `positions(seed, epoch)` returns `size` positions and depends on nothing else. A lambda makes a sampler of your own.
struct Sampler {
  std::int64_t size = 0;
  std::function<std::vector<std::int64_t>(std::uint64_t seed, std::uint64_t epoch)> positions = nullptr;
};

// 0, 1, ..., n - 1.
Sampler sequential_sampler(std::int64_t n);
// Each of n positions once, in an order of its own every epoch.
Sampler shuffled_sampler(std::int64_t n);
// `draws` positions (0: as many as there are weights), with replacement, position i with probability weights[i] / sum.
// Throws ValueError unless the weights are finite, none negative, one positive.
Sampler weighted_sampler(std::vector<double> weights, std::int64_t draws = 0);
// weighted_sampler with 1 / n_c for a sample of class c: every class that has samples is drawn equally often on average.
Sampler class_balanced_sampler(const DatasetPtr& dataset, std::int64_t draws = 0);

}  // namespace heft::data
