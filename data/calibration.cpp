#include "data/calibration.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"

namespace heft::data {

void CalibrationError::add(const Tensor& probabilities, const Tensor& labels) {
  constexpr const char* op = "calibration_error";
  check<ShapeError>(probabilities.rank() == 2 && labels.rank() == 1 && labels.size(0) == probabilities.size(0), op,
                    "expected probabilities (N, C) and labels (N); got {} and {}", probabilities.shape(), labels.shape());
  const std::vector<double> p = probabilities.to(Device::cpu()).to_vector<double>();
  const std::vector<std::int64_t> label = labels.to(Device::cpu()).to_vector<std::int64_t>();
  const std::ptrdiff_t classes = probabilities.size(1);
  std::array<Bin, kBins> bins = bins_;
  for (std::size_t i = 0; i < label.size(); ++i) {
    const auto row = p.begin() + static_cast<std::ptrdiff_t>(i) * classes;
    const auto top = std::max_element(row, row + classes);
    // f32 rows may sum to a little more than 1.
    check(*top > 0 && *top <= 1 + 1e-4, op, "expected probabilities in (0, 1]; got {} in row {}", *top, i);
    Bin& bin = bins[static_cast<std::size_t>(std::min(static_cast<int>(*top * kBins), kBins - 1))];
    ++bin.samples;
    bin.correct += top - row == label[i];
    bin.confidence += *top;
  }
  bins_ = bins;
}

double CalibrationError::value() const {
  double error = 0, samples = 0;
  for (const Bin& bin : bins_) {
    error += std::abs(static_cast<double>(bin.correct) - bin.confidence);
    samples += static_cast<double>(bin.samples);
  }
  return samples > 0 ? error / samples : 0;
}

}  // namespace heft::data
