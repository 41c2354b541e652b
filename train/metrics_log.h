// metrics.jsonl: one JSON object per epoch, for scripts and reports; and the file of lines that it is.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "train/fit.h"

namespace heft::train {

// One line without its end: epoch, train_loss, train_accuracy, collapsed_to (a class, or null), lambda (null for infinity),
// lambda_clamped (where it was on some steps), lr, class_weighted, effective_share, images, images_per_second, seconds, and for
// a test set test_loss, test_accuracy, balanced_accuracy, worst_class_accuracy, per_class_accuracy (null for a class without
// samples). A validation set adds the same five under "validation_...". Accuracies are fractions.
std::string metrics_line(const EpochReport& report);

// The first `count` lines of a file. Throws DataError where there are fewer or one is cut off.
std::string first_lines(const std::string& path, std::int64_t count);

// A text file that grows by whole lines: each has left the process when add() returns.
class LineLog {
 public:
  // Keeps the first `keep` lines of a file that is there: a resumed run continues it. Throws DataError where the file
  // has fewer lines, WriteError where it cannot be written; so does add().
  explicit LineLog(const std::string& path, std::int64_t keep = 0);
  void add(const std::string& line);
  // What was added is on the disk when it returns.
  void sync();
  std::int64_t lines() const { return lines_; }

 private:
  std::string path_;
  std::int64_t lines_;
  std::ofstream file_;
};

class MetricsLog {
 public:
  // As LineLog; a line is an epoch.
  explicit MetricsLog(const std::string& path, int keep = 0) : lines_(path, keep) {}
  void add(const EpochReport& report) { lines_.add(metrics_line(report)); }
  void sync() { lines_.sync(); }

 private:
  LineLog lines_;
};

}  // namespace heft::train
