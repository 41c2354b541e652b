// Weights from elsewhere, as PyTorch's state_dict names them, for a network that is then used or trained further.
#pragma once

#include <string>
#include <vector>

#include "layers/module.h"

namespace heft::train {

struct LoadWeightsOptions {
  // The last layer with parameters keeps the values it has; the file's, of whatever shape, are left aside.
  bool new_head = false;
};
struct LoadedWeights {
  std::vector<std::string> kept;  // names in the network that the file did not set: the new head, counters of batch norms
};

// Sets every parameter and buffer of `net` from the safetensors file at `path`, by name. Also taken are heft's own
// state.safetensors; names that all begin with "module." (PyTorch's DataParallel) or "_orig_mod." (torch.compile), without it;
// and files without the counters num_batches_tracked, which old ones lack. All else is strict: throws DataError, before
// anything is changed, with a table of what is missing, left over or of another shape.
LoadedWeights load_weights(const std::string& path, Module& net, const LoadWeightsOptions& options = {});

// Freezes (Module::freeze) the modules of these dotted names, "conv1,layer1.0". Throws ValueError for a name that is none,
// naming those there are, and where nothing would be left to train.
void freeze_modules(Module& net, const std::string& names);

}  // namespace heft::train
