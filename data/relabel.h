// Other labels for the same images, and how many of them are wrong.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/dataset.h"

namespace heft::data {

// The samples of `dataset`, each with labels[Sample::index], so that labels of a whole source serve its subsets too.
// Sample::clean_label is the label that was replaced, or what the sample had there before. Throws ShapeError unless there
// are dataset->source_size() labels, DataError naming the first that is outside [0, classes()).
DatasetPtr relabelled(DatasetPtr dataset, const std::vector<std::int64_t>& labels);

// relabelled() with the labels of a file, plain or gzip: one byte a sample and nothing else (as the labels of CIFAR-10N,
// Wei et al., ICLR 2022, when packed), or a .npy array of shape (N), dtype u8, i32 or i64, told by its first bytes. Throws
// DataError naming the file where it does not hold dataset->source_size() labels, or one of them is outside [0, classes()).
DatasetPtr relabelled_from_file(DatasetPtr dataset, const std::filesystem::path& path);

// The share of samples whose label is not Sample::clean_label; samples without a clean label do not count.
struct NoiseRate {
  double overall = 0;
  std::vector<double> by_class;  // of the samples of a clean class; 0 where there are none
};
// Fetches every sample. Throws ValueError where none has a clean label, DataError for a clean label outside [0, classes()).
NoiseRate noise_rate(const DatasetPtr& dataset);

}  // namespace heft::data
