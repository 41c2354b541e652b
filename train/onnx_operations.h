// How operations are written in ONNX. Internal to train/.
#pragma once

#include <string>

#include "train/onnx_graph.h"
#include "train/traced_network.h"

namespace heft::train {

// Puts the network's operations into `graph`, reading its images from the value `images`; returns the name of the result.
// Throws ValueError naming an operation that has no form in onnx_operations.cpp.
std::string put_operations(const TracedNetwork& network, const std::string& images, OnnxGraph& graph);

}  // namespace heft::train
