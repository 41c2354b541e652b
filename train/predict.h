// From an image of any size to what a trained model makes of it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"
#include "train/model_file.h"

namespace heft::train {

// What the network takes of images as they come, u8 (C, H, W) each with the C of info.options: the middle of each, as large a
// square as there is, resized (data/resize.h) to image_size where it is of another size, in [0, 1], normalised as in training.
// f32 (N, C, image_size, image_size). Throws ShapeError, DTypeError, or ValueError without images.
Tensor model_input(const std::vector<Tensor>& images, const ModelInfo& info);

// softmax(info.logit_scale * logits), (N, classes), f64 on the CPU, from a pass in evaluation mode without a graph. Throws
// NumericError where a logit is not finite.
Tensor predict(Module& net, const ModelInfo& info, const Tensor& input);

struct ClassProbability {
  std::int64_t label = 0;
  double probability = 0;
};
// The k most probable classes of row `row` of (N, classes), most probable first, of equals the lower label; all of them where
// there are fewer than k.
std::vector<ClassProbability> top_k(const Tensor& probabilities, std::int64_t row, std::int64_t k);

}  // namespace heft::train
