// Random changes to training images, drawn anew every epoch. They belong to the Loader (LoaderOptions::augment), which knows
// the epoch; a Dataset stays what it is.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/random.h"
#include "data/dataset.h"

namespace heft::data {

// Changes a batch in place, before it is normalised. Sample i draws its random numbers from keys[i] and from nothing else, so
// that they do not depend on threads. Called from several threads at once. A lambda makes one of your own.
using Augmentation = std::function<void(Batch& batch, std::span<const RandomKey> keys)>;

// The steps one after another, each with random numbers of its own. Throws ValueError for an empty step.
Augmentation compose(std::vector<Augmentation> steps);

// ---- Each takes images (N, C, H, W) as the Loader makes them: f32, row-major, on the CPU. Throws ValueError naming an option
// outside its domain, and ShapeError where the batch it is called with does not suit it.

enum class Padding {
  zero,    // black
  reflect  // the image mirrored at its edge, which is not repeated: 2 1 | 0 1 2
};
struct PadAndCropOptions {
  std::int64_t padding = 4;  // pixels on each edge: at least 1, and below the height and width of the images
  Padding mode = Padding::zero;
};
// Pads the image and cuts its size out again, at each of the (2 padding + 1)^2 places alike (He, Zhang, Ren, Sun, CVPR 2016,
// section 4.2: 4 pixels for CIFAR; Meta-Weight-Net's code reflects).
Augmentation pad_and_crop(const PadAndCropOptions& options = {});

struct FlipOptions {
  double probability = 0.5;  // in [0, 1]
};
// Left becomes right.
Augmentation horizontal_flip(const FlipOptions& options = {});

struct CutoutOptions {
  std::int64_t size = 16;         // edge of the square: at least 1
  std::vector<double> fill = {};  // one value a channel, in the units of the images; empty: 0
};
// A square of one colour, whose centre is each pixel of the image alike, so that a part of it may lie outside (DeVries, Taylor,
// "Improved regularization of convolutional neural networks with Cutout", 2017: 16 for CIFAR-10, 8 for CIFAR-100). The authors
// cut zeros out of normalised images, which is a fill of Normalization::mean here.
Augmentation cutout(const CutoutOptions& options = {});

}  // namespace heft::data
