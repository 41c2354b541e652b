// What a classifier gets right, counted on the host. All accuracies are fractions in [0, 1].
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/tensor.h"

namespace heft::data {

// Counts of (true class, predicted class). A class without samples has no recall: it reads std::nullopt, is left out of
// means and minima, and never becomes NaN. Without any sample, accuracy, balanced accuracy and worst class are 0.
class ConfusionMatrix {
 public:
  // Throws ValueError unless classes >= 1.
  explicit ConfusionMatrix(std::int64_t classes);

  // Both i64 (N). Throws ShapeError, DTypeError, or ValueError naming the first entry outside [0, classes); then nothing
  // has been added.
  void add(const Tensor& predictions, const Tensor& labels);
  // Adds the counts of another part of the same data. Throws ValueError unless it has as many classes.
  void merge(const ConfusionMatrix& other);

  std::int64_t classes() const { return classes_; }
  std::int64_t count(std::int64_t label, std::int64_t predicted) const;
  // i64 (classes, classes): rows are true classes.
  Tensor counts() const;
  std::int64_t total() const;
  std::int64_t support(std::int64_t label) const;  // samples of a class

  double accuracy() const;
  std::optional<double> recall(std::int64_t label) const;         // correct / support
  std::vector<std::optional<double>> per_class_accuracy() const;  // the recalls
  double balanced_accuracy() const;                               // mean recall
  std::optional<std::int64_t> worst_class() const;                // lowest recall; the first of equals
  double worst_class_accuracy() const;

 private:
  std::int64_t classes_;
  std::vector<std::int64_t> counts_;
};

// Classes by the number of their training images: many > `many`, few < `few`, medium between (Liu et al., "Large-scale
// long-tailed recognition in an open world", CVPR 2019).
struct ShotThresholds {
  std::int64_t many = 100;
  std::int64_t few = 20;
};
// Mean recall over the classes of a group; std::nullopt where the group has no class with samples.
struct ShotAccuracy {
  std::optional<double> many, medium, few;
};
// From the recalls of the classes, or what was counted. Throws ValueError unless there is one count per class and few <= many.
ShotAccuracy shot_accuracy(const std::vector<std::optional<double>>& per_class_accuracy,
                           const std::vector<std::int64_t>& training_counts, const ShotThresholds& thresholds = {});
ShotAccuracy shot_accuracy(const ConfusionMatrix& confusion, const std::vector<std::int64_t>& training_counts,
                           const ShotThresholds& thresholds = {});

}  // namespace heft::data
