// A training run with its progress on stderr and Ctrl-C obeyed.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "train/progress.h"
#include "train/recipe.h"

namespace heft::cli {

// While one lives, the first Ctrl-C or TERM asks for an end by interrupted(); the second ends the program as usual.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
};
bool interrupted();
// Of a program that a signal has ended: 130 for Ctrl-C, 143 for TERM.
int interrupted_exit_code();

// Counts the steps of one run or several on one progress line.
class RunProgress {
 public:
  RunProgress(std::int64_t total_steps);
  // Runs `setup` to its end or to Ctrl-C, with `label` in front and a line after each epoch if `epoch_lines`. `on_epoch` is
  // called after every epoch.
  train::FitResult fit(train::Setup& setup, const std::string& label, bool epoch_lines,
                       const std::function<void(const train::EpochReport&)>& on_epoch = nullptr);

 private:
  train::Progress progress_;
  std::int64_t done_ = 0;
};

// "epoch  3  loss 0.412  accuracy 84.1 %  balanced 84.1 %  worst class 55.2 %"
std::string epoch_line(const train::EpochReport& report);
// "84.1", from a fraction; "-" where there is none.
std::string percent(std::optional<double> fraction);
// The names of the classes, or their numbers.
std::vector<std::string> class_names(const data::Dataset& dataset);

}  // namespace heft::cli
