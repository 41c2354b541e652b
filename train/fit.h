// fit: the training loop. It serves every optimizer, since the optimizer's reduction decides how samples count.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/cycle.h"
#include "data/loader.h"
#include "layers/module.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/evaluate.h"

namespace heft::train {

struct StepReport {
  int epoch = 0;           // 1, 2, ...
  std::int64_t step = 0;   // of this epoch: 1, 2, ..., steps
  std::int64_t steps = 0;  // per epoch
  double mean_loss = 0;    // of the epoch so far, every sample counting alike; on a GPU up to 50 steps old
};

// One batch of the loader, for recorders. Everything it refers to is there during the call only.
struct BatchReport {
  int epoch = 0;                // 1, 2, ...
  bool stepped = true;          // false: part of a batch that is accumulated; the reduction is not done with it
  const data::Batch& batch;     // images normalised
  const Tensor& logits;         // as the network gave them
  const Tensor& losses;         // (N), as the loss gave them
  const Tensor& reduced;        // (N), as the reduction got them: the same, but with class weights in the exponent
  const Tensor& prior;          // (N), or undefined
  optim::Optimizer& optimizer;  // after its step
};

struct EpochReport {
  int epoch = 0;              // 1, 2, ...
  double train_loss = 0;      // mean over the samples seen, in training mode, every sample counting alike
  double train_accuracy = 0;  // of the same predictions; logits (N, C) only, else 0
  // The class that every prediction is of, where the labels are not: the network has collapsed. In training, over the epoch's
  // second half; or in the evaluations after it, since a network of which only the last bias still learns follows the labels of
  // its last batches, and predicts one class now and another then. Evaluations do not tell where training does better than such
  // a network could: batch norm's running statistics are then behind, after few steps.
  std::optional<std::int64_t> collapsed_to = {};
  // Of the samples whose label is known to be flipped (Sample::clean_label), the share that these predictions gave the flipped
  // label; unset where there are none.
  std::optional<double> memorised = {};
  double lambda = std::numeric_limits<double>::infinity();  // of the exponential weights; infinity: the mean
  double lr = 0;                                            // of the first parameter group
  bool class_weighted = false;
  double effective_share = 1;  // effective sample size over batch size, mean over the steps
  // Share of the steps whose lambda was solved for and is the end of its range: the wanted concentration is out of reach.
  double lambda_clamped = 0;
  std::int64_t images = 0;
  double seconds = 0;  // of training; evaluation is not in it
  double images_per_second = 0;
  std::optional<Evaluation> test = {};
  std::optional<Evaluation> validation = {};
};

// Where class weights act. With the mean both are one.
enum class ClassWeightsIn {
  prior,    // SampleInfo::prior, the reference measure of the tilt: w = q exp(loss / lambda) / u
  exponent  // the authors' form: the losses themselves, so that they are tilted too: w = exp(q loss / lambda) / u, times q
};

// An epoch that is not over, between two steps.
struct EpochPart {
  std::int64_t batches = 0;                 // of the loader, that it has had; 0: it has not begun
  std::map<std::string, Tensor> sums = {};  // what its report is made of so far
};

struct FitOptions {
  int epochs = 10;
  int first_epoch = 1;                              // beyond 1 where a run is resumed
  std::shared_ptr<const EpochPart> part = nullptr;  // of first_epoch, where a run is resumed within it; null: it begins
  Loss loss = nullptr;                              // null: cross entropy
  // Of the evaluations, for a loss that belongs in training alone (margins, logit adjustment). Null: `loss`.
  Loss evaluation_loss = nullptr;
  double logit_scale = 1;  // of the evaluations' probabilities: EvaluateOptions
  // In training, in the place of `loss`: for a loss that needs more of the batch than its labels, such as the samples' indices.
  std::function<Variable(const Variable& logits, const data::Batch& batch)> batch_loss = nullptr;
  // Factor on the learning rate and value of lambda; time is the number of epochs finished: 0, 1, ... Null: left alone.
  // A schedule for lambda needs an optimizer with exponential weights (ABSGD, ABAdam).
  optim::Schedule lr_factor = nullptr;
  optim::Schedule lambda = nullptr;
  // (C), from epoch `class_weights_from` on. Undefined: none. From an epoch late in the run on they are the deferred
  // re-weighting of Cao et al. (NeurIPS 2019).
  Tensor class_weights = {};
  int class_weights_from = 1;
  ClassWeightsIn class_weights_in = ClassWeightsIn::prior;
  // SampleInfo::groups are the labels; else the data's own groups, where it has any.
  bool classes_are_groups = false;
  // Clean batches for an optimizer whose reduction is a MetaReweighter (train/meta.h), and only for one.
  std::shared_ptr<data::Cycle> meta = nullptr;
  // On a GPU: a step is recorded once and replayed (train/recorded_step.h), wherever it can be; the numbers are the same.
  bool record_steps = true;
  int accumulate = 1;  // batches of the loader to a step; the last step of an epoch may have fewer
  // Evaluated after each epoch, normalised as the loader does it.
  data::DatasetPtr test = nullptr;
  data::DatasetPtr validation = nullptr;
  // Called before an epoch with its number, 1 and on, but not where it is resumed; the network may be run here, and is in
  // training mode afterwards.
  std::function<void(int epoch)> before_epoch = nullptr;
  // Called after each batch, in this order, and after each epoch.
  std::function<void(const BatchReport&)> on_batch = nullptr;
  std::function<void(const StepReport&)> on_step = nullptr;
  std::function<void(const EpochReport&)> on_epoch = nullptr;
  // Asked after that; true makes the epoch the run's last.
  std::function<bool(const EpochReport&)> enough = nullptr;
  // Asked after each step; true ends the run there, within the epoch.
  std::function<bool()> stop = nullptr;
  // Called after a step where checkpoint_due says so, and where the run is stopped: with a state of the network, the optimizer
  // and the random numbers that is taken here, first_epoch = epoch and `part`, fit() goes on bit for bit.
  std::function<void(int epoch, const EpochPart& part)> on_checkpoint = nullptr;
  std::function<bool(const StepReport&)> checkpoint_due = nullptr;
};

struct FitResult {
  std::vector<EpochReport> epochs = {};  // those finished
  bool stopped = false;
};

// Leaves `net` in training mode. Epoch e has the batches of loader epoch e - 1, so a resumed run sees those it would have. What
// a step is does not depend on where a run was resumed: `accumulate` batches from the start of the epoch.
// Throws ValueError naming a bad option, and NumericError where a loss, or the mean loss of an evaluation, is not finite:
// the run has diverged.
FitResult fit(Module& net, optim::Optimizer& opt, data::Loader& batches, const FitOptions& options = {});

}  // namespace heft::train
