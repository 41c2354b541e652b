// Imbalanced training sets, and the class weights that answer them.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "data/dataset.h"

namespace heft::data {

enum class Profile { exponential, step };
enum class ClassOrder { label, reversed };

// How many of `largest` images each of `classes` classes keeps, largest class first, as in the CIFAR-LT protocol
// (Cui et al., CVPR 2019; Cao et al., NeurIPS 2019), C = classes:
//   exponential: n_k = int(largest * ratio^(k / (C - 1)));  step: largest for k < C / 2, then int(largest * ratio).
// 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50 for CIFAR-10 at 0.01. Throws ValueError unless classes >= 2,
// largest >= 1, 0 < ratio <= 1, and every class keeps an image.
std::vector<std::int64_t> long_tailed_counts(std::int64_t largest, std::int64_t classes, Profile profile, double ratio);

struct LongTailedOptions {
  Profile profile = Profile::exponential;
  double ratio = 0.01;  // smallest class to largest
  // Which class is the largest, which comes second, ...: by label, from the last label down, or an explicit permutation
  // of the labels (std::vector<std::int64_t>{...}).
  std::variant<ClassOrder, std::vector<std::int64_t>> order = ClassOrder::label;
  std::uint64_t seed = 0;
};

// A subset with the counts above, where `largest` is the size of the data set's smallest class (N / C where it is
// balanced). Each class keeps the first of its images in an order that depends on (seed, class) alone, so a smaller
// ratio keeps a part of what a larger one keeps. Positions go class by class, the largest first.
DatasetPtr long_tailed(DatasetPtr dataset, const LongTailedOptions& options = {});

enum class WeightScheme {
  balanced,         // 1 / n_c
  effective_number  // (1 - beta) / (1 - beta^n_c): Cui et al., "Class-balanced loss based on effective number of samples"
};
enum class WeightMean {
  classes,  // sum over classes = C: the scale of the long-tail papers, whose losses divide by the sum of the weights
  samples   // sum over the training set = N: losses that divide by N keep their scale, and so does the learning rate
};

struct ClassWeightOptions {
  WeightScheme scheme = WeightScheme::balanced;
  double beta = 0.9999;  // in [0, 1)
  WeightMean mean_one_over = WeightMean::classes;
};

// One weight per class, f64 (C), scaled so that its mean over the classes or over the training samples is 1. A class without
// samples weighs 0 and is left out of the mean. Throws ValueError where every class is empty.
Tensor class_weights(const std::vector<std::int64_t>& counts, const ClassWeightOptions& options = {});

}  // namespace heft::data
