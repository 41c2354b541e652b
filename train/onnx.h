// A network for other programs: ONNX (https://onnx.ai), opset 17, IR version 8.
#pragma once

#include <string>

#include "layers/module.h"
#include "train/model_file.h"

namespace heft::train {

struct OnnxOptions {
  // Batch norms become part of the convolutions before them: fewer operations, results that differ in the last bits.
  bool fold_batch_norm = false;
  // info.normalization is part of the graph, which then takes images in [0, 1]; false: images are normalised by the user, as
  // the metadata says.
  bool normalize = true;
  // The graph gives softmax(info.logit_scale * logits).
  bool probabilities = false;
};

// Writes, atomically, the function that `net` computes in evaluation mode on f32 images (N, channels, image_size, image_size)
// of info.options; N is free. The input is "images", the output "logits" or "probabilities" (N, ...), parameters keep their
// names. metadata_props: "model", "class_names", "normalize_mean" and "normalize_std" (as JSON), "logit_scale", and "input",
// which is "[0, 1]" or "normalized".
// It is found by running `net` and watching its operations, so any network will do whose operations have a form in
// train/onnx_operations.cpp; ValueError names one that has none, and tells where the result depends on what no operation saw.
// Constants of f64 become f32. Throws WriteError where the system cannot write.
void export_onnx(const std::string& path, Module& net, const ModelInfo& info, const OnnxOptions& options = {});

}  // namespace heft::train
