// Internal to train/fit.cpp: what an epoch's report is made of.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/download.h"
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

  // Before the epoch's first batch.
  void begin(const optim::Optimizer& opt);
  // On a GPU what they are given is gathered, and looked at every kTogether steps: nothing waits for each.
  void add(const Tensor& logits, const data::Batch& batch, const Tensor& losses);
  void add_step(const optim::Optimizer& opt);
  // Looks at what is left. Throws what Optimizer::verify() has to say.
  void flush(const optim::Optimizer& opt);

  std::int64_t batches_seen() const { return seen_; }
  // Whether the epoch's accuracy is more than a network that sees no image could have: a quarter of the way from the share of
  // the largest class to 1, and further. After flush().
  bool learns() const;
  EpochReport& report() { return report_; }
  EpochPart part() const;  // after flush()

 private:
  using Clock = std::chrono::steady_clock;
  struct Seen {
    std::int64_t number;  // of the batch: 1, 2, ...
    Download values;      // losses, predictions, labels, clean labels; the last three undefined where there are no class logits
  };
  void count(const Seen& batch);
  void count_steps(const optim::Reduction& reduction);
  void describe();

  static constexpr std::size_t kTogether = 50;

  EpochReport report_;
  std::int64_t batches_;
  std::vector<std::int64_t> predicted_, labels_;  // of the second half of the epoch, by class
  Clock::time_point start_ = Clock::now();
  double seconds_before_ = 0;
  double loss_sum_ = 0, effective_ = 0;
  std::vector<Seen> waiting_;
  tilt::State tally_;  // of the reduction, when last looked at
  std::int64_t images_looked_at_ = 0;
  std::int64_t seen_ = 0, steps_ = 0, correct_ = 0, clamped_ = 0, flipped_ = 0, memorised_ = 0;
};

}  // namespace heft::train
