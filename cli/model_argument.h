// A trained model as commands are given it.
#pragma once

#include <string>

#include "train/model_file.h"

namespace heft::cli {

// `given`, or model.safetensors in it where it is the folder of a run.
std::string model_path(const std::string& given);

// The network with its results scaled to what softmax makes probabilities of (ModelInfo::logit_scale), on the CPU.
ModulePtr with_scaled_logits(const train::ModelFile& file);

// The names of the classes, or their numbers; free of control characters.
std::vector<std::string> class_names(const train::ModelInfo& info);

}  // namespace heft::cli
