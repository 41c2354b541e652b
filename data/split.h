// Holding out a part of a data set.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace heft::data {

struct Split {
  DatasetPtr kept;
  DatasetPtr held_out;
};
// Of each class, round(fraction n_c) samples are held out, at least one where the class has two or more and never all of
// them; which ones depends on (seed, class) alone. Both parts keep the order of `dataset`.
// Throws ValueError unless 0 < fraction < 1.
Split stratified_split(const DatasetPtr& dataset, double fraction, std::uint64_t seed = 0);

}  // namespace heft::data
