// The checkpoints of a run, in its folder:
//   state.safetensors                     the newest, perhaps within an epoch (train/run_state.h)
//   checkpoints/epoch-0012.safetensors    as it was after each of the last few epochs
// A killed process, a full disk or a power cut leaves each as it was before or as it is now.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "train/run_state.h"

namespace heft::train {

// After each epoch there is a checkpoint always.
struct CheckpointOptions {
  std::int64_t steps = std::numeric_limits<std::int64_t>::max();  // from one to the next at most
  double seconds = 300;                                           // of work that a killed process loses at most; above 0
  int keep = 1;                                                   // epochs of which one is kept; 0: none
};
// "epoch", nothing else; "100" steps; "5min". Throws ValueError for another text.
CheckpointOptions read_checkpoint_every(const std::string& text);

std::string newest_state(const std::string& folder);  // FOLDER/state.safetensors
// Of the kept ones, that of the last epoch; empty: there is none.
std::string last_kept(const std::string& folder);
// For a run that begins where there was one.
void remove_checkpoints(const std::string& folder);

class Checkpoints {
 public:
  // Throws ValueError naming the option outside its domain.
  explicit Checkpoints(std::string folder, const CheckpointOptions& options = {});
  // Bind it to FitOptions::checkpoint_due: a step is done; is one wanted?
  bool due();
  // At the end of an epoch it is kept too, and those beyond `keep` or of later epochs go. Throws DataError.
  void save(const Module& net, const optim::Optimizer& opt, const RunState& state);

 private:
  using Clock = std::chrono::steady_clock;

  std::string folder_;
  CheckpointOptions options_;
  std::int64_t steps_ = 0;  // since the last
  Clock::time_point last_ = Clock::now();
};

}  // namespace heft::train
