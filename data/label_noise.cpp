#include "data/label_noise.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/random.h"
#include "data/relabel.h"

namespace heft::data {

namespace {

using Positions = std::vector<std::int64_t>;

// Labels and indices by position, and what is random about a sample.
struct Samples {
  Positions labels, indices;

  Samples(const DatasetPtr& dataset, const char* op) {
    check(dataset != nullptr, op, "expected a data set; got a null pointer");
    labels = dataset->labels();
    indices = dataset->indices();
    for (std::size_t i = 0; i < labels.size(); ++i)
      check<DataError>(
          labels[i] >= 0 && labels[i] < dataset->classes() && indices[i] >= 0 && indices[i] < dataset->source_size(), op,
          "expected labels in [0, {}) and indices in [0, {}); sample {} has {} and {}", dataset->classes(),
          dataset->source_size(), i, labels[i], indices[i]);
  }
  std::int64_t label(std::int64_t position) const { return labels[static_cast<std::size_t>(position)]; }
  void set_label(std::int64_t position, std::int64_t label) { labels[static_cast<std::size_t>(position)] = label; }
  std::vector<Positions> by_class(std::int64_t classes) const {
    std::vector<Positions> out(static_cast<std::size_t>(classes));
    for (std::size_t i = 0; i < labels.size(); ++i)
      out[static_cast<std::size_t>(labels[i])].push_back(static_cast<std::int64_t>(i));
    return out;
  }
  RandomSequence random(std::int64_t position, std::string_view purpose, std::uint64_t seed, std::uint64_t round = 0) const {
    const std::int64_t index = indices[static_cast<std::size_t>(position)];
    return RandomSequence({.seed = seed, .stream = stream_of(purpose, static_cast<std::uint64_t>(index), round)});
  }
};

// Those of `candidates` that flip: each has a number of its own in [0, 1), and the lowest are taken.
Positions flipping(const Samples& samples, const Positions& candidates, double rate, FlipCount count, std::uint64_t seed,
                   std::uint64_t round = 0) {
  std::vector<std::pair<double, std::int64_t>> ranked;
  for (const std::int64_t position : candidates)
    ranked.emplace_back(samples.random(position, "data.label_noise.which", seed, round).uniform(), position);
  std::sort(ranked.begin(), ranked.end());
  const auto taken = count == FlipCount::independent
                         ? std::lower_bound(ranked.begin(), ranked.end(), std::pair(rate, std::int64_t{0}))
                         : ranked.begin() + static_cast<std::ptrdiff_t>(rate * static_cast<double>(ranked.size()));
  Positions out;
  for (auto it = ranked.begin(); it != taken; ++it) out.push_back(it->second);
  return out;
}

// The sets of positions of which the share `rate` flips: one, or one for each class.
std::vector<Positions> groups_of(const Samples& samples, std::int64_t classes, FlipCount count) {
  if (count == FlipCount::per_class) return samples.by_class(classes);
  Positions all(samples.labels.size());
  std::iota(all.begin(), all.end(), 0);
  return {all};
}

DatasetPtr with_labels(DatasetPtr dataset, const Samples& samples) {
  std::vector<std::int64_t> by_index(static_cast<std::size_t>(dataset->source_size()), 0);
  for (std::size_t i = 0; i < samples.labels.size(); ++i)
    by_index[static_cast<std::size_t>(samples.indices[i])] = samples.labels[i];
  return relabelled(std::move(dataset), by_index);
}

void check_rate(const char* op, double rate) { check(rate >= 0 && rate <= 1, op, "expected rate in [0, 1]; got {}", rate); }

void check_flips(const MappedNoiseOptions& options, std::int64_t classes, const char* op) {
  check(!options.flips.empty(), op, "expected flips, e.g. cifar10_flips(); got none");
  std::vector<bool> seen(static_cast<std::size_t>(classes));
  for (const ClassFlip& flip : options.flips) {
    const bool inside = flip.from >= 0 && flip.from < classes && flip.to >= 0 && flip.to < classes;
    check(inside, op, "expected flips between classes in [0, {}); got {} to {}", classes, flip.from, flip.to);
    check(flip.from != flip.to, op, "expected flips to another class; got {} to itself", flip.from);
    check(!seen[static_cast<std::size_t>(flip.from)], op, "expected at most one flip from each class; class {} has two",
          flip.from);
    seen[static_cast<std::size_t>(flip.from)] = true;
  }
  check(options.from == FlipFrom::original || options.count != FlipCount::overall, op,
        "expected count per_class or independent where flips go on flipped labels; got overall");
}

}  // namespace

DatasetPtr symmetric_noise(DatasetPtr dataset, const SymmetricNoiseOptions& options) {
  constexpr const char* kOp = "symmetric_noise";
  Samples samples(dataset, kOp);
  check_rate(kOp, options.rate);
  const bool excluded = options.true_class == TrueClass::excluded;
  const std::int64_t classes = dataset->classes();
  check(classes >= 2 || !excluded, kOp, "expected two or more classes where the true one is excluded; got {}", classes);
  for (const Positions& group : groups_of(samples, classes, options.count))
    for (const std::int64_t position : flipping(samples, group, options.rate, options.count, options.seed)) {
      RandomSequence random = samples.random(position, "data.label_noise.label", options.seed);
      const auto label = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(classes - excluded)));
      samples.set_label(position, excluded && label >= samples.label(position) ? label + 1 : label);
    }
  return with_labels(std::move(dataset), samples);
}

DatasetPtr mapped_noise(DatasetPtr dataset, const MappedNoiseOptions& options) {
  constexpr const char* kOp = "mapped_noise";
  Samples samples(dataset, kOp);
  check_rate(kOp, options.rate);
  check_flips(options, dataset->classes(), kOp);
  const std::int64_t classes = dataset->classes();
  if (options.from == FlipFrom::flipped) {
    std::uint64_t round = 0;  // a sample that came back draws anew
    for (const ClassFlip& flip : options.flips) {
      const Positions candidates = samples.by_class(classes)[static_cast<std::size_t>(flip.from)];
      for (const std::int64_t position : flipping(samples, candidates, options.rate, options.count, options.seed, round++))
        samples.set_label(position, flip.to);
    }
    return with_labels(std::move(dataset), samples);
  }
  std::vector<std::int64_t> target(static_cast<std::size_t>(classes));
  std::iota(target.begin(), target.end(), 0);
  for (const ClassFlip& flip : options.flips) target[static_cast<std::size_t>(flip.from)] = flip.to;
  for (const Positions& group : groups_of(samples, classes, options.count))
    for (const std::int64_t position : flipping(samples, group, options.rate, options.count, options.seed))
      samples.set_label(position, target[static_cast<std::size_t>(samples.label(position))]);
  return with_labels(std::move(dataset), samples);
}

std::vector<ClassFlip> cifar10_flips() { return {{9, 1}, {2, 0}, {3, 5}, {5, 3}, {4, 7}}; }

std::vector<ClassFlip> cifar100_flips() {
  std::vector<ClassFlip> out;
  for (std::int64_t c = 0; c < 100; ++c) out.push_back({c, c / 5 * 5 + (c + 1) % 5});
  return out;
}

std::vector<ClassFlip> pair_flips(std::int64_t classes) {
  check(classes >= 2, "pair_flips", "expected classes >= 2; got {}", classes);
  std::vector<ClassFlip> out;
  for (std::int64_t c = 0; c < classes; ++c) out.push_back({c, (c + 1) % classes});
  return out;
}

}  // namespace heft::data
