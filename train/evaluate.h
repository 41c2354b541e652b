// What a network gets right on a data set.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "data/metrics.h"
#include "layers/module.h"

namespace heft::train {

// One value per sample, (N), from logits (N, C) and labels (N): the losses of layers/losses.h.
using Loss = std::function<Variable(const Variable& logits, const Tensor& labels)>;

// Evaluation mode for a scope. Modules are put back one by one: a frozen part may have been in it already.
class EvaluationMode {
 public:
  explicit EvaluationMode(Module& net);
  ~EvaluationMode();
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> before_;
};

Device network_device(const Module& net);  // that of its parameters; without any, the CPU

struct EvaluateOptions {
  std::int64_t batch_size = 500;
  data::Normalization normalize = {};  // as in training
  Loss loss = nullptr;                 // null: cross entropy
  double logit_scale = 1;              // probabilities are softmax(logit_scale * logits), for networks that end in cosines
};

// Accuracies are fractions; data/metrics.h defines them.
struct Evaluation {
  std::int64_t samples = 0;
  double mean_loss = 0;
  double accuracy = 0;
  double balanced_accuracy = 0;
  double worst_class_accuracy = 0;
  double calibration_error = 0;  // expected, of the softmax; data/calibration.h
  std::vector<std::optional<double>> per_class_accuracy = {};
  data::ConfusionMatrix confusion{1};
};

// One pass over `dataset` in evaluation mode and without a graph; afterwards every module is in the mode it was in.
// Batches go to the device of the network's parameters. A class predicted outside the data set's classes is a ValueError.
Evaluation evaluate(Module& net, const data::DatasetPtr& dataset, const EvaluateOptions& options = {});

}  // namespace heft::train
