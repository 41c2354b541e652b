// The best epoch of a run so far, and whether it is time to stop.
#pragma once

#include <map>
#include <string>

#include "train/fit.h"

namespace heft::train {

// By balanced accuracy: of the validation set where there is one, else of the test set. What is chosen on the test set is
// flattered by it: which() says so wherever the choice is reported.
class BestEpoch {
 public:
  // Whether the epoch is better than all before it. One without an evaluation is not.
  bool add(const EpochReport& report);

  int epoch() const { return epoch_; }  // 0: none yet
  double balanced_accuracy() const { return balanced_accuracy_; }
  const char* which() const { return on_validation_ ? "validation" : "test"; }

  // load_state throws ValueError naming an entry that is missing or cannot be.
  std::map<std::string, Tensor> state() const;
  void load_state(const std::map<std::string, Tensor>& state);

 private:
  int epoch_ = 0;
  double balanced_accuracy_ = -1;
  bool on_validation_ = false;
};

}  // namespace heft::train
