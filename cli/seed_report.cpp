#include "cli/seed_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace heft::cli {
namespace {

using Metric = double train::Evaluation::*;
struct NamedMetric {
  const char* name;
  Metric metric;
};
constexpr NamedMetric kMetrics[] = {{"accuracy", &train::Evaluation::accuracy},
                                    {"balanced accuracy", &train::Evaluation::balanced_accuracy},
                                    {"worst class", &train::Evaluation::worst_class_accuracy}};

std::string mean_and_deviation(const std::vector<double>& values, bool sign) {
  double mean = 0, squares = 0;
  const auto n = static_cast<double>(values.size());
  for (const double value : values) mean += value / n;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const std::string text = sign ? fmt::format("{:+.2f}", mean) : fmt::format("{:.2f}", mean);
  return values.size() < 2 ? text : text + fmt::format(" +- {:.2f}", std::sqrt(squares / (n - 1)));
}

}  // namespace

std::string SeedReport::str(const std::vector<std::pair<std::size_t, std::size_t>>& pairs) const {
  std::string text = fmt::format("{:<36}", fmt::format("mean +- deviation, {} seeds", seeds_.size()));
  for (const NamedMetric& metric : kMetrics) text += fmt::format("{:>24}", metric.name);
  text += '\n';
  for (std::size_t m = 0; m < methods_.size(); ++m) {
    text += fmt::format("{:<36}", methods_[m]);
    for (const NamedMetric& metric : kMetrics) {
      std::vector<double> values;
      for (const auto& seed : seeds_) values.push_back(100 * seed[m].*metric.metric);
      text += fmt::format("{:>24}", mean_and_deviation(values, false));
    }
    text += '\n';
  }
  text += "\npaired differences (seeds above 0)\n";
  for (const auto& pair : pairs) {
    text += fmt::format("{:<36}", methods_[pair.first] + " minus " + methods_[pair.second]);
    for (const NamedMetric& metric : kMetrics) {
      std::vector<double> values;
      for (const auto& seed : seeds_)
        values.push_back(100 * (seed[pair.first].*metric.metric - seed[pair.second].*metric.metric));
      const auto above = std::count_if(values.begin(), values.end(), [](double v) { return v > 0; });
      text += fmt::format("{:>24}", mean_and_deviation(values, true) + fmt::format(" ({})", above));
    }
    text += '\n';
  }
  return text;
}

}  // namespace heft::cli
