// The learning-rate range test: Smith, "Cyclical learning rates for training neural networks", WACV 2017.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace heft::train {

struct FindLrOptions {
  double from = 1e-6;  // above 0
  double to = 10;      // above `from`
  int steps = 100;     // >= 10, over which the rate grows by one factor
};

struct LrPoint {
  double lr = 0;
  double loss = 0;      // of that step's batch, before the step, every sample counting alike
  double smoothed = 0;  // average over this step and those before, the newest with 5 %, without the bias towards the start
};

struct LrRange {
  std::vector<LrPoint> points;  // until all steps are done, or the smoothed loss is 4 times its lowest, or not finite
  // Where the smoothed loss falls fastest with log lr, before its lowest point. Unset: it never falls.
  std::optional<double> steepest = {};
  double lowest = 0;      // the rate of the lowest smoothed loss
  bool diverged = false;  // the test ended before its last step
  // A rate to begin with: the steepest, but at most a quarter of the lowest, since where the fall is steep up to its end one
  // batch decides which of the two comes first, and a rate near that end lets a whole run diverge.
  std::optional<double> suggested() const;
};

// Trains the setup's network, which is used up by it, as its recipe begins (a lambda or class weights that come later are not
// seen), with rates from `from` to `to`. Throws ValueError naming the option.
LrRange find_lr(Setup& setup, const FindLrOptions& options = {});

// One line without its end: lr, loss, smoothed.
std::string lr_line(const LrPoint& point);

}  // namespace heft::train
