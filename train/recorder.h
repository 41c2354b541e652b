// Recorder: what `heft report` shows of a run, written into the run's folder while it trains.
//
// steps.jsonl, a line per recorded step: epoch, step (of the run), samples, mean_loss (unweighted), weighted_loss (what the
// step
//   descends, (1/N) sum w_i loss_i), the reduction's diagnostics() by name (effective_sample_size, kl_from_uniform, ...; of
//   exponential weights lambda, null for infinity, log_u and batch_log_mean_exp), lr.
// snapshots.jsonl, a line per epoch: epoch, step, mean_loss and weighted_loss over its samples; weight_by_class and
//   count_by_class, sums over the epoch; confusion, the test set's counts in rows by true class; batch, the last step of full
//   size: reduction (its name), lambda (of exponential weights; null for infinity and for other reductions), and an entry per
//   sample of losses (as the reduction got them), weights, labels, predictions, priors, flipped (each null where unknown).
// samples.json, of the last epoch: epoch, classes (their names), class_counts of the training set, image (C, H, W), hardest and
//   suspects (train/hard_samples.h), pixels in hex.
// tensorboard/ (train/tensorboard.h): the numbers of steps.jsonl under "step/", losses and accuracies of the epochs under
//   "epoch/".
//
// Numbers have all their digits in steps.jsonl, 6 in snapshots.jsonl and samples.json, a float's in tensorboard/.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/download.h"
#include "train/fit.h"
#include "train/hard_samples.h"
#include "train/metrics_log.h"
#include "train/tensorboard.h"

namespace heft::train {

struct RecorderOptions {
  int first_epoch = 1;  // beyond 1 the files of the folder are continued after epoch first_epoch - 1
  // Recorder::state() of the run that is resumed, perhaps within first_epoch; without one what is gathered over epochs
  // (margins) begins anew, and what is gathered over an epoch is of the rest of it.
  std::map<std::string, Tensor> state = {};
  std::int64_t every = 1;  // steps from one line of steps.jsonl to the next
  int accumulate = 1;      // FitOptions::accumulate
  int samples = 24;        // of each list in samples.json
};

// For RecorderOptions::every: a run has at most 2000 lines.
std::int64_t default_every(std::int64_t steps_per_epoch, int epochs);

// Removes all of that from a folder.
void remove_records(const std::string& folder);

// Throws DataError where the files in `folder` have less than a run with that state of its records has written.
void check_records(const std::string& folder, const std::map<std::string, Tensor>& state);

// Bind add() to FitOptions::on_batch and call end_epoch() from on_epoch. What is said of classes and samples needs logits of
// shape (N, classes) and stays empty otherwise. It changes nothing of the network, the optimizer or the random numbers: a
// recorded run has the bits of one that is not. On a GPU nothing waits for a step: its numbers are read, and what is wrong with
// them thrown, while the next ones run.
class Recorder {
 public:
  // `folder` must exist. Throws ValueError naming the option or what is wrong with the state, DataError where a file cannot be
  // written.
  Recorder(std::string folder, const data::Loader& batches, const RecorderOptions& options = {});
  // Of a run that has failed, too, the steps before are written.
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  void add(const BatchReport& report);
  void end_epoch(const EpochReport& report);

  // What continues the records from here: after a whole step. Lines written so far are on the disk when it returns.
  std::map<std::string, Tensor> state();

 private:
  // A batch whose numbers are on their way.
  struct Read {
    int epoch;
    bool stepped;
    double lr;
    Tensor images;
    std::unique_ptr<optim::Reduction> reduction;  // to be read later; null: the optimizer's, now
    Download numbers;
  };
  // One step's samples, in the order of the reduction's weights.
  struct Step {
    std::vector<double> losses, reduced, priors;
    std::vector<HardSample> samples;  // empty without class logits
    std::vector<Tensor> images;       // a part each
    // Once the step is done:
    std::vector<double> weights;
    std::string reduction;
    double lambda = 0;
  };
  // Sums over an epoch.
  struct Sums {
    double images = 0, loss = 0, weighted_loss = 0;
    std::vector<double> weight_by_class;
    std::vector<std::int64_t> count_by_class;
  };
  void load_state(const std::map<std::string, Tensor>& state);
  Read read(const BatchReport& report) const;
  void take_in_all_but(std::size_t waiting);
  void take_in(const Read& batch, const optim::Reduction& reduction);
  void add_samples(const std::vector<Tensor>& numbers);
  void finish_step(const Read& batch, const optim::Reduction& reduction);
  void weigh_samples();
  void write_step(const Read& batch, const optim::Reduction& reduction, double mean_loss, double weighted_loss);
  std::string snapshot_line(const EpochReport& report) const;
  void write_samples(int epoch) const;
  Sums no_sums() const;

  std::string folder_;
  RecorderOptions options_;
  std::vector<std::string> classes_;
  std::vector<std::int64_t> class_counts_;
  std::int64_t step_;  // of the run
  LineLog steps_, snapshots_;
  TensorBoardLog events_;
  HardSamples hard_;
  Shape image_shape_;
  std::deque<Read> waiting_;
  Step open_;   // of which not all parts have come
  Step shown_;  // of the largest steps of this epoch, the last
  Sums epoch_;
};

}  // namespace heft::train
