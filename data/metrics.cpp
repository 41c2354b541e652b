#include "data/metrics.h"

#include <numeric>

#include "core/check.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "confusion_matrix";

// The mean of recalls one by one, for the classes that have one.
class Mean {
 public:
  void add(std::optional<double> value) {
    if (!value) return;
    sum_ += *value;
    ++count_;
  }
  std::optional<double> value() const { return count_ > 0 ? std::optional(sum_ / count_) : std::nullopt; }

 private:
  double sum_ = 0;
  int count_ = 0;
};

}  // namespace

ConfusionMatrix::ConfusionMatrix(std::int64_t classes) : classes_(classes) {
  check(classes >= 1 && classes <= 1 << 14, kOp, "expected 1 to 16384 classes; got {}", classes);
  counts_.resize(static_cast<std::size_t>(classes * classes));
}

void ConfusionMatrix::add(const Tensor& predictions, const Tensor& labels) {
  check<ShapeError>(predictions.rank() == 1 && predictions.shape() == labels.shape(), kOp,
                    "expected predictions and labels of shape (N); got {} and {}", predictions.shape(), labels.shape());
  check<DTypeError>(predictions.dtype() == DType::i64 && labels.dtype() == DType::i64, kOp,
                    "expected predictions and labels of dtype i64; got {} and {}", predictions.dtype(), labels.dtype());
  const std::vector<std::int64_t> predicted = predictions.to_vector<std::int64_t>(), truth = labels.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < truth.size(); ++i) {
    check(truth[i] >= 0 && truth[i] < classes_, kOp, "expected labels in [0, {}); entry {} is {}", classes_, i, truth[i]);
    check(predicted[i] >= 0 && predicted[i] < classes_, kOp, "expected predictions in [0, {}); entry {} is {}", classes_, i,
          predicted[i]);
  }
  for (std::size_t i = 0; i < truth.size(); ++i) ++counts_[static_cast<std::size_t>(truth[i] * classes_ + predicted[i])];
}

void ConfusionMatrix::merge(const ConfusionMatrix& other) {
  check(classes_ == other.classes_, kOp, "expected a matrix of {} classes; got {}", classes_, other.classes_);
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
}

std::int64_t ConfusionMatrix::count(std::int64_t label, std::int64_t predicted) const {
  check(label >= 0 && label < classes_ && predicted >= 0 && predicted < classes_, kOp,
        "expected classes in [0, {}); got {} and {}", classes_, label, predicted);
  return counts_[static_cast<std::size_t>(label * classes_ + predicted)];
}

Tensor ConfusionMatrix::counts() const { return Tensor::from(counts_, {classes_, classes_}); }

std::int64_t ConfusionMatrix::total() const { return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0}); }

std::int64_t ConfusionMatrix::support(std::int64_t label) const {
  std::int64_t sum = 0;
  for (std::int64_t predicted = 0; predicted < classes_; ++predicted) sum += count(label, predicted);
  return sum;
}

double ConfusionMatrix::accuracy() const {
  std::int64_t correct = 0;
  for (std::int64_t c = 0; c < classes_; ++c) correct += count(c, c);
  const std::int64_t all = total();
  return all > 0 ? static_cast<double>(correct) / static_cast<double>(all) : 0;
}

std::optional<double> ConfusionMatrix::recall(std::int64_t label) const {
  const std::int64_t samples = support(label);
  if (samples == 0) return std::nullopt;
  return static_cast<double>(count(label, label)) / static_cast<double>(samples);
}

std::vector<std::optional<double>> ConfusionMatrix::per_class_accuracy() const {
  std::vector<std::optional<double>> out;
  for (std::int64_t c = 0; c < classes_; ++c) out.push_back(recall(c));
  return out;
}

double ConfusionMatrix::balanced_accuracy() const {
  Mean mean;
  for (const std::optional<double> value : per_class_accuracy()) mean.add(value);
  return mean.value().value_or(0);
}

std::optional<std::int64_t> ConfusionMatrix::worst_class() const {
  std::optional<std::int64_t> worst;
  for (std::int64_t c = 0; c < classes_; ++c) {
    const std::optional<double> value = recall(c);
    if (value && (!worst || *value < *recall(*worst))) worst = c;
  }
  return worst;
}

double ConfusionMatrix::worst_class_accuracy() const {
  const std::optional<std::int64_t> worst = worst_class();
  return worst ? *recall(*worst) : 0;
}

ShotAccuracy shot_accuracy(const std::vector<std::optional<double>>& per_class_accuracy,
                           const std::vector<std::int64_t>& training_counts, const ShotThresholds& thresholds) {
  check(training_counts.size() == per_class_accuracy.size(), "shot_accuracy",
        "expected one training count for each of {} classes; got {}", per_class_accuracy.size(), training_counts.size());
  check(thresholds.few <= thresholds.many, "shot_accuracy", "expected few <= many; got {} and {}", thresholds.few,
        thresholds.many);
  Mean many, medium, few;
  for (std::size_t c = 0; c < training_counts.size(); ++c) {
    const std::int64_t n = training_counts[c];
    (n > thresholds.many ? many : n < thresholds.few ? few : medium).add(per_class_accuracy[c]);
  }
  return {many.value(), medium.value(), few.value()};
}

ShotAccuracy shot_accuracy(const ConfusionMatrix& confusion, const std::vector<std::int64_t>& training_counts,
                           const ShotThresholds& thresholds) {
  return shot_accuracy(confusion.per_class_accuracy(), training_counts, thresholds);
}

}  // namespace heft::data
