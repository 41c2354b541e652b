// Reduction: how an optimizer turns the vector of a batch's losses into the scalar to differentiate.
//   losses (N)  ->  (1/N) sum_i w_i loss_i,   w >= 0 constants
// Every optimizer holds one (Mean unless told otherwise) and any optimizer takes any. A reduction of your own overrides
// one function, compute(). A reduction also works alone, without variables: weigh(losses) returns w.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"
#include "core/tilt.h"

namespace heft::optim {

// What a reduction may be told of the samples besides their losses: each undefined, or one entry per loss, (N).
struct SampleInfo {
  // q_i >= 0, floating point: how much sample i counts before anything is known of its loss, e.g. its class weight. Its mean
  // over the training set should be 1 (data::class_weights with WeightMean::samples), so that the learning rate keeps its
  // meaning. Undefined: all 1.
  Tensor prior = {};
  // Where the prior changes with this batch (deferred reweighting): what it was for these samples, so that running averages go
  // over to the new one. Undefined: no change; but a first prior after batches without takes it to have been all 1.
  Tensor prior_before = {};
  Tensor groups = {};  // integers; of group-robust reductions
};

class Reduction {
 public:
  virtual ~Reduction() = default;
  // Tag of error messages, e.g. "absgd".
  virtual const char* name() const = 0;

  // losses: (N), f32 or f64 -> rank 0, with the gradient w_i / N to loss i. No gradient flows through w. The value is
  // neither the mean loss nor the objective: those are mean_loss() and diagnostics().
  // Under NoGrad nothing of the reduction changes: not its state, not what it reports.
  // Throws ShapeError unless (N) with N >= 1 and so each entry of `about`, DTypeError, NumericError naming the first loss
  // that is not finite, ValueError naming the first prior that is negative or not finite. Of losses on a GPU, where nothing
  // waits for their values, these two come with the next question that does (weights(), diagnostics(), tally()); until then
  // every weight is 0, and optimizers leave the parameters alone.
  Variable reduce(const Variable& losses, const SampleInfo& about = {});
  // The same step on plain numbers: the weights w, N of them.
  std::vector<double> weigh(std::span<const double> losses, const SampleInfo& about = {});

  // One batch in parts, for gradients accumulated over several backward() calls. Each part is reduced with what is known so
  // far; finish() ends the batch and returns the factor by which the accumulated gradient must be multiplied to be that of the
  // whole batch. Optimizer::reduce, step and zero_grad do this; a batch in one part has the factor 1.
  // Throws ValueError for a second part where the reduction needs the whole batch at once (in_parts()).
  Variable reduce_part(const Variable& losses, const SampleInfo& about = {});
  double finish();
  virtual bool in_parts() const { return false; }

  // Of the last batch reduced (not under NoGrad); empty or 0 before the first. After a batch on a GPU, the first of these waits
  // for it.
  const std::vector<double>& weights() const;
  double mean_loss() const;              // unweighted
  double effective_sample_size() const;  // 1 to N; optim/batch_sums.h
  double kl_from_uniform() const;        // nats, 0 to log N
  double kl_from_prior() const;          // nats; the same without a prior
  // All of it by name, for logs; a reduction adds its own.
  virtual std::vector<std::pair<std::string, double>> diagnostics() const;

  // What continues a run bit for bit. load_state throws ValueError naming an entry that is missing.
  virtual std::map<std::string, Tensor> state() const { return {}; }
  virtual void load_state(const std::map<std::string, Tensor>& state);

  // ---- on a GPU, for training loops
  // Whether weights are computed where the losses lie; otherwise a batch's losses cross to the host and its weights back.
  bool stays_on_device() const { return on_device().has_value(); }
  // Steps so far on a device and what they summed up to; waits for them. Throws what reduce() would have thrown.
  const tilt::State& tally() const;
  // The state there, whose first number is 0 while all is well; undefined before the first batch.
  const Tensor& device_state() const { return device_.state; }
  // Brings the state there up to date where it was changed here, as set_lambda() does; a replay does not do that.
  void upload();
  // The last batch there. A recorded step leaves it in the same tensors with every replay; what is known here is then of the
  // past.
  struct DeviceBatch {
    Tensor losses, weights, prior;
  };
  const DeviceBatch& device_batch() const { return device_.batch; }
  void replayed(const DeviceBatch& batch);
  // For who reads the numbers of a batch there later: a copy of this reduction, null where there can be none; and, on the copy,
  // what device_state() and device_batch() held after the batch, on the CPU by then (core/download.h).
  std::unique_ptr<Reduction> copy() const;
  void arrived(const Tensor& state, const DeviceBatch& batch);
  // A state has been loaded that knows of no bad sample.
  void forget_errors();

 protected:
  // How weights are computed where the losses lie; none: only on the host.
  virtual std::optional<tilt::Options> on_device() const { return {}; }
  // For copy(), where on_device() gives anything.
  virtual std::unique_ptr<Reduction> clone() const { return nullptr; }
  // The state of the running average and the last batch: to read, and to change.
  const tilt::State& known() const;
  tilt::State& change();

  // A batch or a part of one, checked, on the host.
  struct Batch {
    std::span<const double> losses;
    std::span<const double> prior = {};         // empty: all 1
    std::span<const double> prior_before = {};  // empty: unknown
    std::span<const std::int64_t> groups = {};  // empty: none
    bool first_part = true;

    double q(std::size_t i) const { return prior.empty() ? 1 : prior[i]; }
  };
  // Writes a weight per loss. Losses are finite and at least one. With `update` false it changes no member.
  virtual void compute(const Batch& batch, std::span<double> weights, bool update) = 0;
  // Where in_parts(): log of the divisor that all weights of the open batch share and that later parts may still change.
  virtual double log_divisor() const { return 0; }
  // Whether parts of a batch have been reduced and finish() not called.
  bool is_open() const { return open_.samples > 0; }

 private:
  struct Weighed;
  // A batch whose weights are on a device, and the state there.
  struct OnDevice {
    Tensor state;        // the bytes of a tilt::State
    bool ahead = false;  // it is newer than what is known here
    bool behind = true;  // or older
    DeviceBatch batch;
  };
  struct Open {
    std::int64_t samples = 0;  // of the parts so far; 0: no batch is open
    bool on_device = false;
    std::int64_t first = 0;  // of the first part
    double log_divisor = 0;  // at the first part
  };
  Weighed weigh_read(std::span<const double> losses, const SampleInfo& about, bool update);
  void remember(const Batch& batch, const std::vector<double>& weights, double log_divisor_before);
  Variable reduce_on_device(const Variable& losses, const SampleInfo& about, const tilt::Options& options);
  void fetch() const;
  void take(const Tensor& state, const DeviceBatch& batch) const;

  mutable Open open_;
  mutable std::vector<double> weights_, prior_;
  mutable double mean_loss_ = 0;
  mutable tilt::State state_;
  mutable OnDevice device_;
};

// All weights 1, or the prior.
class Mean final : public Reduction {
 public:
  const char* name() const override { return "mean"; }
  bool in_parts() const override { return true; }

 private:
  void compute(const Batch& batch, std::span<double> weights, bool update) override;
  std::optional<tilt::Options> on_device() const override { return tilt::Options{.mean = true}; }
  std::unique_ptr<Reduction> clone() const override { return std::make_unique<Mean>(*this); }
};

// A number in a state, as a rank-0 f64 tensor; `op` tags the ValueError that take_number throws when it is missing.
Tensor number(double value);
double take_number(const std::map<std::string, Tensor>& state, const std::string& key, const char* op);

}  // namespace heft::optim
