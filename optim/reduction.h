// Reduction: how an optimizer turns the vector of a batch's losses into the scalar to differentiate.
//   losses (N)  ->  (1/N) sum_i w_i loss_i,   w >= 0 constants
// Every optimizer holds one (Mean unless told otherwise) and any optimizer takes any. A reduction of your own overrides
// one function, compute(). A reduction also works alone, without variables: weigh(losses) returns w.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"

namespace heft::optim {

class Reduction {
 public:
  virtual ~Reduction() = default;
  // Tag of error messages, e.g. "absgd".
  virtual const char* name() const = 0;

  // losses: (N), f32 or f64 -> rank 0, with the gradient w_i / N to loss i. No gradient flows through w. The value is
  // neither the mean loss nor the objective: those are mean_loss() and diagnostics().
  // Under NoGrad nothing of the reduction changes: not its state, not what it reports.
  // Throws ShapeError unless (N) with N >= 1, DTypeError, NumericError naming the first loss that is not finite.
  Variable reduce(const Variable& losses);
  // The same step on plain numbers: the weights w, N of them.
  std::vector<double> weigh(std::span<const double> losses);

  // Of the last batch reduced (not under NoGrad); empty or 0 before the first.
  const std::vector<double>& weights() const { return weights_; }
  double mean_loss() const { return mean_loss_; }  // unweighted
  double effective_sample_size() const;            // 1 to N; optim/batch_sums.h
  double kl_from_uniform() const;                  // nats, 0 to log N
  // All of it by name, for logs; a reduction adds its own.
  virtual std::vector<std::pair<std::string, double>> diagnostics() const;

  // What continues a run bit for bit. load_state throws ValueError naming an entry that is missing.
  virtual std::map<std::string, Tensor> state() const { return {}; }
  virtual void load_state(const std::map<std::string, Tensor>& state);

 protected:
  // Writes a weight per loss. Losses are finite and at least one. With `update` false it changes no member.
  virtual void compute(std::span<const double> losses, std::span<double> weights, bool update) = 0;

 private:
  std::vector<double> weigh_read(std::span<const double> losses, bool update);

  std::vector<double> weights_;
  double mean_loss_ = 0;
};

// All weights 1.
class Mean final : public Reduction {
 public:
  const char* name() const override { return "mean"; }

 private:
  void compute(std::span<const double> losses, std::span<double> weights, bool update) override;
};

// A number in a state, as a rank-0 f64 tensor; `op` tags the ValueError that take_number throws when it is missing.
Tensor number(double value);
double take_number(const std::map<std::string, Tensor>& state, const std::string& key, const char* op);

}  // namespace heft::optim
