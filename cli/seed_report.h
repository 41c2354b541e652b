// What several seeds say together: means, deviations, and differences seed by seed.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "train/evaluate.h"

namespace heft::cli {

class SeedReport {
 public:
  explicit SeedReport(std::vector<std::string> methods) : methods_(std::move(methods)) {}
  // One evaluation per method, of the same seed.
  void add(const std::vector<train::Evaluation>& evaluations) { seeds_.push_back(evaluations); }
  // In percentage points, mean and sample standard deviation over the seeds; then, for each pair (a, b) of methods, a - b
  // within each seed, and in how many seeds it is above 0.
  std::string str(const std::vector<std::pair<std::size_t, std::size_t>>& pairs) const;

 private:
  std::vector<std::string> methods_;
  std::vector<std::vector<train::Evaluation>> seeds_;
};

}  // namespace heft::cli
