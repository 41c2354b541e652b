#include "train/find_lr.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "optim/batch_sums.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "find_lr";
constexpr double kNewest = 0.05, kDiverged = 4;

// The fastest fall between the neighbours of a point, up to the lowest.
void describe(LrRange& range) {
  const std::vector<LrPoint>& points = range.points;
  if (points.empty()) return;
  const auto lowest = std::min_element(points.begin(), points.end(),
                                       [](const LrPoint& a, const LrPoint& b) { return a.smoothed < b.smoothed; });
  range.lowest = lowest->lr;
  double steepest = 0;
  for (std::size_t i = 1; i + 1 < points.size() && points[i].lr <= range.lowest; ++i) {
    const double slope = (points[i + 1].smoothed - points[i - 1].smoothed) / std::log(points[i + 1].lr / points[i - 1].lr);
    if (slope >= steepest) continue;
    steepest = slope;
    range.steepest = points[i].lr;
  }
}

}  // namespace

std::optional<double> LrRange::suggested() const {
  if (!steepest) return std::nullopt;
  return std::max(std::min(*steepest, lowest / 4), points.front().lr);
}

LrRange find_lr(Setup& setup, const FindLrOptions& options) {
  check(options.from > 0 && std::isfinite(options.from), kOp, "expected a finite `from` above 0; got {}", options.from);
  check(options.to > options.from && std::isfinite(options.to), kOp, "expected a finite `to` above {}; got {}", options.from,
        options.to);
  check(options.steps >= 10, kOp, "expected steps >= 10; got {}", options.steps);
  const double factor = std::pow(options.to / options.from, 1.0 / (options.steps - 1));
  LrRange range;
  std::vector<double> losses;  // of the step so far
  double sum = 0, mass = 0, best = std::numeric_limits<double>::infinity();
  FitOptions fit_options = setup.fit;
  fit_options.lr_factor = nullptr;
  fit_options.test = fit_options.validation = nullptr;
  fit_options.epochs = std::numeric_limits<int>::max();
  setup.optimizer->set_lr_factor(1);
  setup.optimizer->set_lr(options.from);
  fit_options.on_batch = [&](const BatchReport& report) {
    const std::vector<double> part = report.losses.to(Device::cpu()).to_vector<double>();
    losses.insert(losses.end(), part.begin(), part.end());
    if (!report.stepped) return;
    LrPoint point{.lr = setup.optimizer->lr(), .loss = optim::batch_mean(losses)};
    losses.clear();
    if (!std::isfinite(point.loss)) {  // on a GPU; a CPU's reduction has thrown
      range.diverged = true;
      return;
    }
    sum = (1 - kNewest) * sum + kNewest * point.loss;
    mass = (1 - kNewest) * mass + kNewest;
    point.smoothed = sum / mass;
    range.points.push_back(point);
    best = std::min(best, point.smoothed);
    range.diverged = point.smoothed > kDiverged * std::abs(best);
    setup.optimizer->set_lr(options.from * std::pow(factor, static_cast<double>(range.points.size())));
  };
  fit_options.stop = [&] { return range.diverged || range.points.size() >= static_cast<std::size_t>(options.steps); };
  try {
    fit(*setup.net, *setup.optimizer, *setup.loader, fit_options);
  } catch (const NumericError&) {  // a loss or a gradient that is not finite: what the test is to find
    range.diverged = true;
  }
  describe(range);
  return range;
}

std::string lr_line(const LrPoint& point) {
  return nlohmann::ordered_json{{"lr", point.lr}, {"loss", point.loss}, {"smoothed", point.smoothed}}.dump();
}

}  // namespace heft::train
