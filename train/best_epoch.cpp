#include "train/best_epoch.h"

#include <cmath>
#include <limits>

#include "core/check.h"

namespace heft::train {

bool BestEpoch::add(const EpochReport& report) {
  const std::optional<Evaluation>& on = report.validation ? report.validation : report.test;
  if (!on || !(on->balanced_accuracy > balanced_accuracy_)) return false;
  epoch_ = report.epoch;
  balanced_accuracy_ = on->balanced_accuracy;
  on_validation_ = report.validation.has_value();
  return true;
}

std::map<std::string, Tensor> BestEpoch::state() const {
  return {{"epoch", optim::number(epoch_)},
          {"balanced_accuracy", optim::number(balanced_accuracy_)},
          {"on_validation", optim::number(on_validation_ ? 1 : 0)}};
}

void BestEpoch::load_state(const std::map<std::string, Tensor>& state) {
  constexpr const char* kOp = "best_epoch";
  const double epoch = optim::take_number(state, "epoch", kOp);
  const double accuracy = optim::take_number(state, "balanced_accuracy", kOp);
  const bool on_validation = optim::take_number(state, "on_validation", kOp) != 0;
  check(epoch >= 0 && epoch <= std::numeric_limits<int>::max() && epoch == std::floor(epoch), kOp,
        "expected the number of an epoch as 'epoch'; got {}", epoch);
  check(accuracy >= -1 && accuracy <= 1, kOp, "expected a share as 'balanced_accuracy'; got {}", accuracy);
  epoch_ = static_cast<int>(epoch);
  balanced_accuracy_ = accuracy;
  on_validation_ = on_validation;
}

}  // namespace heft::train
