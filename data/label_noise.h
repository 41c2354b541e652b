// Labels made wrong on purpose, as the noisy-label papers do it. Every function returns the same samples with other labels;
// Sample::clean_label keeps the one before.
//
// Which samples are flipped, and to what, depends on (seed, Sample::index, the labels), not on order, position or threads.
// At the same seed a higher rate flips the samples of a lower one and more (FlipFrom::flipped aside). Copies of a sample (a
// subset may repeat one) share their label.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace heft::data {

// How many samples are flipped.
enum class FlipCount {
  per_class,   // exactly int(rate n_c) of the n_c samples of each class
  overall,     // exactly int(rate N) of all N samples, whatever their class
  independent  // each sample by itself with probability `rate`
};

enum class TrueClass {
  excluded,  // the new label is one of the C - 1 others: the noise rate is `rate`
  included   // it is one of all C, and may be the old one: the noise rate is rate (C - 1) / C
};

// Flipped samples get a label that is uniform over the classes. What the published code does:
//   per_class,   excluded: symmetric cross entropy (Wang et al., ICCV 2019; its unofficial reproduction) and ABSGD's
//   overall,     included: DivideMix (Li et al., ICLR 2020), early-learning regularisation (Liu et al., NeurIPS 2020)
//   independent, included: Meta-Weight-Net (Shu et al., NeurIPS 2019)
//   independent, excluded: generalised cross entropy (Zhang, Sabuncu, NeurIPS 2018; unofficial code)
struct SymmetricNoiseOptions {
  double rate = 0;  // in [0, 1]
  FlipCount count = FlipCount::per_class;
  TrueClass true_class = TrueClass::excluded;
  std::uint64_t seed = 0;
};
// Throws ValueError naming the option outside its domain, or where excluding the true class leaves none.
DatasetPtr symmetric_noise(DatasetPtr dataset, const SymmetricNoiseOptions& options);

struct ClassFlip {
  std::int64_t from = 0;
  std::int64_t to = 0;
};

// Which label a flip is drawn from.
enum class FlipFrom {
  original,  // the label the sample came with: each is flipped once at most
  flipped    // flips are applied one after another, each to the labels the earlier ones left. Where two classes flip into
             // each other some samples come back: CIFAR-10 at rate 0.4 ends with 24 % of the cats and 40 % of the dogs wrong
};

// Class-dependent ("asymmetric") noise: samples of the class `from` become `to`, classes without a flip keep theirs. What the
// published code does: per_class, flipped for CIFAR-10 (symmetric cross entropy's reproduction and ABSGD's); independent,
// original for CIFAR-100 (the same); overall, original for CIFAR-10 (DivideMix, where int(rate N) counts the samples that
// would flip if every class did).
struct MappedNoiseOptions {
  double rate = 0;                    // in [0, 1]
  std::vector<ClassFlip> flips = {};  // at most one from each class; the order matters to FlipFrom::flipped alone
  FlipCount count = FlipCount::per_class;
  FlipFrom from = FlipFrom::original;
  std::uint64_t seed = 0;
};
// Throws ValueError naming the option outside its domain: no flips, a class outside [0, classes()), one that flips twice or to
// itself, FlipCount::overall with FlipFrom::flipped, which nothing defines.
DatasetPtr mapped_noise(DatasetPtr dataset, const MappedNoiseOptions& options);

// truck to automobile, bird to airplane, cat to dog, dog to cat, deer to horse (Patrini et al., CVPR 2017), in the order in
// which the published code applies them, which is truck, bird, cat, dog, deer.
std::vector<ClassFlip> cifar10_flips();
// Each class to the next one within its block of five, the last to the first. The blocks are of consecutive labels, which are
// alphabetical, and so not the superclasses they are called in the literature.
std::vector<ClassFlip> cifar100_flips();
// Each class to the next one, the last to the first (Han et al., "Co-teaching", NeurIPS 2018). Throws ValueError unless
// classes >= 2.
std::vector<ClassFlip> pair_flips(std::int64_t classes);

}  // namespace heft::data
