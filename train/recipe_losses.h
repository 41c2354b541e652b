// The losses that a recipe names. Internal to train/.
#pragma once

#include <cstdint>
#include <vector>

#include "train/recipe.h"

namespace heft::train {

// In training (null: truncated_gce, which needs the samples' indices too); and in evaluation, where margins, adjustments and
// normalisation have no place.
struct RecipeLosses {
  Loss train, evaluation;
};

// loss_options are complete, counts are the training set's.
RecipeLosses make_losses(const Recipe& recipe, const std::vector<std::int64_t>& counts);

}  // namespace heft::train
