// Internal to train/fit.cpp: what an epoch's report is made of.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "train/fit.h"

namespace heft::train {

// The class that nearly all predictions are of, where the labels are not.
std::optional<std::int64_t> collapsed_to(const data::ConfusionMatrix& confusion);

class EpochMeter {
 public:
  // Of an epoch that begins: `report` has what is known of it then.
  EpochMeter(const EpochReport& report, std::int64_t batches, std::int64_t classes);
  // Of one that goes on: its report at the end is that of an epoch without a break. Throws ValueError naming what is wrong.
  EpochMeter(int epoch, const EpochPart& part, std::int64_t batches, std::int64_t classes);

  void add(const Tensor& logits, const data::Batch& batch, const Tensor& losses);
  void add_step(const optim::Reduction& reduction);

  std::int64_t batches_seen() const { return seen_; }
  EpochReport& report() { return report_; }
  EpochPart part() const;

 private:
  using Clock = std::chrono::steady_clock;
  void add_predictions(const Tensor& logits, const data::Batch& batch);
  void describe();

  EpochReport report_;
  std::int64_t batches_;
  std::vector<std::int64_t> predicted_, labels_;  // of the second half of the epoch, by class
  Clock::time_point start_ = Clock::now();
  double seconds_before_ = 0;
  double loss_sum_ = 0, effective_ = 0;
  std::int64_t seen_ = 0, steps_ = 0, correct_ = 0, clamped_ = 0, flipped_ = 0, memorised_ = 0;
};

}  // namespace heft::train
