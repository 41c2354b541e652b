// Mean and standard deviation of image channels.
#pragma once

#include <vector>

#include "data/dataset.h"

namespace heft::data {

// One mean and one standard deviation per channel, in the units of the images; both empty: images stay as they are.
struct Normalization {
  std::vector<double> mean = {};
  std::vector<double> std = {};
  bool empty() const { return mean.empty() && std.empty(); }
};

// Over all pixels of all samples; population standard deviation, sums in double. `workers` threads fetch the samples (0: the
// caller's does), and change no bit. Throws ShapeError unless the images are (C, H, W), ValueError for an empty data set.
Normalization estimate_normalization(const DatasetPtr& dataset, int workers = 0);

// (x - mean) / std in place; images f32 (N, C, H, W), row-major, on the CPU. Throws ValueError unless each channel has a
// finite mean and a finite std > 0, ShapeError for another shape.
void normalize_(Tensor& images, const Normalization& normalization);

}  // namespace heft::data
