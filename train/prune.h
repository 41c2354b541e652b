// The pruning of the truncated generalised cross entropy (layers/losses_noise.h) over a training set.
#pragma once

#include "layers/losses_noise.h"
#include "train/evaluate.h"

namespace heft::train {

// Keeps of `dataset` the samples of which `net`, in evaluation mode, gives the label more than gce's k; options.loss is not
// used. The authors take the network that was best so far on held-out data; this takes the one it is given.
void prune(TruncatedGce& gce, Module& net, const data::DatasetPtr& dataset, const EvaluateOptions& options = {});

}  // namespace heft::train
