// metrics.jsonl: one JSON object per epoch, for scripts and reports.
#pragma once

#include <fstream>
#include <string>

#include "train/fit.h"

namespace heft::train {

// One line without its end: epoch, train_loss, train_accuracy, collapsed_to (a class, or null), lambda (null for infinity), lr,
// class_weighted, effective_share, images, images_per_second, seconds, and for a test set test_loss, test_accuracy,
// balanced_accuracy, worst_class_accuracy, per_class_accuracy (null for a class without samples). A validation set adds the
// same five under "validation_...". Accuracies are fractions.
std::string metrics_line(const EpochReport& report);

// Appends lines to a file, each whole on the disk's side of the process before the next epoch starts.
class MetricsLog {
 public:
  // Keeps the first `keep` lines of a file that is there: a resumed run continues it. Throws DataError where the file
  // cannot be written or has fewer lines.
  explicit MetricsLog(const std::string& path, int keep = 0);
  void add(const EpochReport& report);

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace heft::train
