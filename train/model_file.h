// A trained network and what using it takes, in one safetensors file. Other programs read its tensors as they are; what heft
// needs besides (which network, the names of the classes, how images were normalised) is in the file's metadata.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/normalize.h"
#include "layers/models.h"

namespace heft::train {

struct ModelInfo {
  std::string model;                          // of models::names(), or a name of your own for a network that code makes
  models::MakeOptions options = {};           // what it takes and gives, whoever makes it
  std::vector<std::string> class_names = {};  // options.classes of them, or none
  // Of its images, in [0, 1] before: options.channels numbers each, or none.
  data::Normalization normalization = {};
  // Probabilities are softmax(logit_scale * logits): the scale of a loss that learns cosines (ldam), else 1.
  double logit_scale = 1;
};

struct ModelFile {
  ModulePtr net;  // in evaluation mode
  ModelInfo info;
};

// Atomically (train/atomic_file.h). The metadata is {"format": "pt", "heft": "1", "model", and as JSON "options",
// "class_names", "normalize_mean", "normalize_std", "logit_scale"}. Throws ValueError naming what in `info` does not fit the
// above, DataError where the system cannot write. `more` is metadata besides. The file has a checksum (train/safetensors.h).
// Names that are not UTF-8 have a replacement for what is not.
void save_model_file(const std::string& path, const Module& net, const ModelInfo& info,
                     const std::map<std::string, std::string>& more = {});

// Makes the network that the file names. It is made without values and compared with the tensors that are there before any
// memory is asked for, so that no number in the file makes more of it than the file holds. Throws DataError, naming the file,
// for one that save_model_file did not write, a model that models::make does not know, and tensors that are not the network's.
ModelFile load_model_file(const std::string& path);
// The same for a network of your own, made by you: takes its values, strictly by name, and says what else the file says.
ModelInfo load_model_file(const std::string& path, Module& net);

}  // namespace heft::train
