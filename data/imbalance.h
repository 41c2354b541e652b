// Imbalanced training sets, and the class weights that answer them.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace heft::data {

enum class Profile { exponential, step };
enum class ClassOrder { label, reversed, listed };

// Which class is the largest, which comes second, ...: by label, from the last label down, or an explicit permutation of the
// labels, as in `.order = std::vector<std::int64_t>{3, 1, 0, 2}`.
struct LargestFirst {
  LargestFirst(ClassOrder by) : by(by) {}
  LargestFirst(std::vector<std::int64_t> labels) : by(ClassOrder::listed), labels(std::move(labels)) {}
  ClassOrder by;
  std::vector<std::int64_t> labels;  // of ClassOrder::listed
};

// Which images of a class are kept: the first n_k in an order that is random by
enum class Selection {
  counter,      // (seed, class) alone, through core/random.h
  numpy_legacy  // NumPy's generator, seeded once for all classes: the very subset that was published
};

// How many of `largest` images each of `classes` classes keeps, largest class first, as in the CIFAR-LT protocol
// (Cui et al., CVPR 2019; Cao et al., NeurIPS 2019), C = classes:
//   exponential: n_k = int(largest * ratio^(k / (C - 1)));  step: largest for k < C / 2, then int(largest * ratio).
// 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50 for CIFAR-10 at 0.01. Throws ValueError unless classes >= 2,
// largest >= 1, 0 < ratio <= 1, and every class keeps an image.
std::vector<std::int64_t> long_tailed_counts(std::int64_t largest, std::int64_t classes, Profile profile, double ratio);

struct LongTailedOptions {
  Profile profile = Profile::exponential;
  double ratio = 0.01;  // smallest class to largest
  LargestFirst order = ClassOrder::label;
  Selection selection = Selection::counter;
  std::uint64_t seed = 0;
};

// A subset with the counts above, where `largest` is the size of the data set's smallest class (N / C where it is
// balanced). Positions go class by class, the largest first; within a class in the order that chose them.
// Selection::counter: a smaller ratio keeps a part of what a larger one keeps.
// Selection::numpy_legacy is the imbalanced CIFAR of LDAM-DRW (Cao et al., NeurIPS 2019) and of those who took its code over,
// ABSGD's too: numpy.random.seed(seed) with their rand_number (0 unless they say another), then class by class in label order,
// whatever `order` says, numpy.random.shuffle of the positions of that class. Throws ValueError where seed >= 2^32.
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
