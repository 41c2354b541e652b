// Holding out as many samples of every class: the clean set of a meta-learning method.
#pragma once

#include <cstdint>

#include "data/split.h"

namespace heft::data {

// `per_class` samples of each class are held out, which ones depends on (seed, class) alone. Both parts keep the order of
// `dataset`. To have the held-out part clean and balanced, split before labels are flipped and classes thinned, as
// Meta-Weight-Net's protocol does (10 a class for CIFAR-LT, 100 for CIFAR-10 with noise).
// Throws ValueError unless per_class >= 1 and every class has more, naming the first that has not.
Split balanced_split(const DatasetPtr& dataset, std::int64_t per_class, std::uint64_t seed = 0);

}  // namespace heft::data
