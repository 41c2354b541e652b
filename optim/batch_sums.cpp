#include "optim/batch_sums.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace heft::optim {

double batch_mean(std::span<const double> x) {
  double sum = 0;
  const double n = static_cast<double>(x.size());
  for (const double v : x) sum += v / n;  // each divided first: a batch of the largest doubles has a finite mean
  return sum;
}

double batch_mean(std::span<const double> weights, std::span<const double> x) {
  double sum = 0;
  const double n = static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) sum += weights[i] * (x[i] / n);
  return sum;
}

LogMeanExp log_mean_exp(std::span<const double> z) {
  return tilt::log_mean_exp(tilt::OneThread{}, static_cast<std::int64_t>(z.size()), z.data());
}

LogMeanExp merge(const LogMeanExp& a, std::int64_t n, const LogMeanExp& b, std::int64_t m) { return tilt::merge(a, n, b, m); }

double batch_median(std::span<const double> x) {
  std::vector<double> sorted(x.begin(), x.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((x.size() - 1) / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

double effective_sample_size(std::span<const double> weights) {
  const double max = weights.empty() ? 0 : *std::max_element(weights.begin(), weights.end());
  if (!(max > 0)) return 0;
  double sum = 0, squares = 0;
  for (const double w : weights) {
    const double share = w / max;  // squares of tiny weights would underflow
    sum += share;
    squares += share * share;
  }
  return sum * sum / squares;
}

double kl_divergence(std::span<const double> weights, std::span<const double> prior) {
  const double max = weights.empty() ? 0 : *std::max_element(weights.begin(), weights.end());
  if (!(max > 0)) return 0;
  double sum = 0, mass = 0, log_ratio = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double share = weights[i] / max, q = prior.empty() ? 1 : prior[i];
    sum += share;
    mass += q;
    if (share > 0) log_ratio += share * std::log(share / q);
  }
  return std::max(0.0, log_ratio / sum - std::log(sum / mass));
}

}  // namespace heft::optim
