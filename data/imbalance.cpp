#include "data/imbalance.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/random.h"
#include "data/numpy_random.h"

namespace heft::data {

std::vector<std::int64_t> long_tailed_counts(std::int64_t largest, std::int64_t classes, Profile profile, double ratio) {
  constexpr const char* kOp = "long_tailed";
  check(classes >= 2, kOp, "expected at least 2 classes; got {}", classes);
  check(largest >= 1, kOp, "expected images in every class; the smallest has {}", largest);
  check(ratio > 0 && ratio <= 1, kOp, "expected ratio in (0, 1]; got {}", ratio);
  std::vector<std::int64_t> counts;
  for (std::int64_t k = 0; k < classes; ++k) {
    const double exponent = profile == Profile::exponential ? static_cast<double>(k) / static_cast<double>(classes - 1)
                            : k < classes / 2               ? 0.0
                                                            : 1.0;
    counts.push_back(static_cast<std::int64_t>(static_cast<double>(largest) * std::pow(ratio, exponent)));
  }
  check(counts.back() >= 1, kOp, "expected a ratio that leaves every class an image; {} of {} images leave none", ratio,
        largest);
  return counts;
}

namespace {

std::vector<std::int64_t> class_order(const LongTailedOptions& options, std::int64_t classes) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(classes));
  std::iota(order.begin(), order.end(), 0);
  if (options.order.by == ClassOrder::listed) {
    const std::vector<std::int64_t>& listed = options.order.labels;
    check(std::is_permutation(order.begin(), order.end(), listed.begin(), listed.end()), "long_tailed",
          "expected an order that names each of {} classes once; got ({})", classes, fmt::join(listed, ", "));
    return listed;
  }
  if (options.order.by == ClassOrder::reversed) std::reverse(order.begin(), order.end());
  return order;
}

void shuffle_each(std::vector<std::vector<std::int64_t>>& members, const LongTailedOptions& options) {
  if (options.selection == Selection::numpy_legacy) {
    NumpyRandomState random(options.seed);
    for (std::vector<std::int64_t>& positions : members) random.shuffle(std::span(positions));
    return;
  }
  for (std::size_t label = 0; label < members.size(); ++label)
    RandomSequence({.seed = options.seed, .stream = stream_of("data.long_tailed", label)}).shuffle(std::span(members[label]));
}

}  // namespace

DatasetPtr long_tailed(DatasetPtr dataset, const LongTailedOptions& options) {
  const std::vector<std::int64_t> available = class_counts(dataset);
  const std::int64_t largest = available.empty() ? 0 : *std::min_element(available.begin(), available.end());
  const std::vector<std::int64_t> counts = long_tailed_counts(largest, dataset->classes(), options.profile, options.ratio);
  const std::vector<std::int64_t> order = class_order(options, dataset->classes());
  std::vector<std::vector<std::int64_t>> members(available.size());
  const std::vector<std::int64_t> labels = dataset->labels();
  for (std::size_t i = 0; i < labels.size(); ++i)
    members[static_cast<std::size_t>(labels[i])].push_back(static_cast<std::int64_t>(i));
  shuffle_each(members, options);
  std::vector<std::int64_t> kept;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const std::vector<std::int64_t>& positions = members[static_cast<std::size_t>(order[k])];
    kept.insert(kept.end(), positions.begin(), positions.begin() + counts[k]);
  }
  return subset(std::move(dataset), std::move(kept));
}

Tensor class_weights(const std::vector<std::int64_t>& counts, const ClassWeightOptions& options) {
  constexpr const char* kOp = "class_weights";
  check(options.beta >= 0 && options.beta < 1, kOp, "expected beta in [0, 1); got {}", options.beta);
  std::vector<double> weights;
  double sum = 0, over = 0;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    check(counts[c] >= 0, kOp, "expected counts >= 0; class {} has {}", c, counts[c]);
    const auto n = static_cast<double>(counts[c]);
    if (n == 0) weights.push_back(0);
    else if (options.scheme == WeightScheme::balanced) weights.push_back(1 / n);
    else weights.push_back((1 - options.beta) / (1 - std::pow(options.beta, n)));
    const double share = options.mean_one_over == WeightMean::samples ? n : n > 0 ? 1 : 0;
    sum += weights.back() * share;
    over += share;
  }
  check(over > 0, kOp, "expected a class with samples; got {} empty classes", counts.size());
  for (double& weight : weights) weight *= over / sum;
  return Tensor::from(weights);
}

}  // namespace heft::data
