// How well a classifier's confidence matches what it gets right.
#pragma once

#include <array>
#include <cstdint>

#include "core/tensor.h"

namespace heft::data {

// Expected calibration error (Naeini et al., AAAI 2015; Guo et al., ICML 2017): over 15 bins of equal width of the confidence,
// the largest probability, the mean of |accuracy - mean confidence|, each bin counting by its samples.
class CalibrationError {
 public:
  static constexpr int kBins = 15;

  // probabilities (N, C), rows that sum to 1; labels i64 (N). Throws ShapeError, or ValueError naming the first row whose
  // largest entry is not in (0, 1].
  void add(const Tensor& probabilities, const Tensor& labels);
  // In [0, 1]; 0 without samples.
  double value() const;

 private:
  struct Bin {
    std::int64_t samples = 0, correct = 0;
    double confidence = 0;  // sum
  };
  std::array<Bin, kBins> bins_;
};

}  // namespace heft::data
