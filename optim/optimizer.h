// Optimizer: what SGD and Adam share. Parameter groups, state by dotted names, gradient clipping, and the reduction that
// turns a batch's losses into the scalar to differentiate:
//   opt.zero_grad(); backward(opt.reduce(losses)); opt.step();
// An optimizer of your own derives from it and defines apply() and slots().
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "optim/reduction.h"

namespace heft::optim {

// Parameters that share settings. Unset: the optimizer's own.
struct ParameterGroup {
  std::vector<Variable> parameters;
  std::optional<double> lr = {};
  std::optional<double> weight_decay = {};
};

// What an optimizer remembers of one parameter. Tensors have the parameter's shape, dtype, device and layout.
struct ParameterState {
  std::map<std::string, Tensor> slots;
  std::int64_t steps = 0;  // updates this parameter has had before this one
};

struct Rates {
  double lr = 0;
  double weight_decay = 0;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // The scalar to differentiate (optim/reduction.h). Several before one step() or zero_grad() are parts of one batch, each
  // swept by backward() in turn: step() makes the sum of their gradients that of the whole batch, whatever the sizes of the
  // parts.
  Variable reduce(const Variable& losses, const SampleInfo& about = {}) { return reduction_->reduce_part(losses, about); }
  void zero_grad();
  // One update of every parameter that has a gradient and is not frozen; the others stay as they are.
  // Ends the batch. Throws AutogradError where no parameter has one, NumericError where clipping meets a gradient that is not
  // finite.
  void step();
  // The three together: zero_grad, backward of the reduced losses, step. Returns the reduced scalar.
  Tensor minimize(const Variable& losses);

  // On a GPU nothing waits for a step: NumericError comes with the next verify(), and from the bad step on parameters stay as
  // they are. Also what the reduction has to say: Reduction::tally().
  void verify() const;
  // Whether a step may be recorded and replayed (core/recording.h): nothing in it goes through the host.
  bool replayable() const;
  // Before a replay, where lr or lambda may have changed; and after one of a step that left the reduction with `batch` and has
  // updated each parameter so many times.
  void before_replay();
  void replayed(const Reduction::DeviceBatch& batch, const std::vector<std::int64_t>& updates);
  // That each parameter has had.
  std::vector<std::int64_t> updates() const;
  // Where all lies that a recorded step reads and writes, and what it does so to: where this changes, it must be recorded anew.
  std::vector<const void*> recorded_places() const;
  // What a step that was recorded and then given up has left here, taken back.
  std::vector<ParameterState> parameter_states() const;
  void restore(const std::vector<ParameterState>& states);

  // Updates one parameter in place. `gradient` has its layout; tensors missing from state.slots are this function's to make.
  virtual void apply(Tensor& parameter, const Tensor& gradient, ParameterState& state, const Rates& rates) const = 0;
  // The names that apply() may leave in ParameterState::slots.
  virtual std::vector<std::string> slots() const = 0;

  // The learning rate of a group as the next step will use it: its own times the factor.
  double lr(std::size_t group = 0) const;
  // Of all groups, or of one. Throws ValueError unless finite and at least 0.
  void set_lr(double lr);
  void set_lr(double lr, std::size_t group);
  // Scales every group's rate; what a schedule gives (optim/schedule.h). 1 at first.
  void set_lr_factor(double factor);
  std::size_t groups() const { return groups_.size(); }
  std::vector<Variable> parameters() const;

  Reduction& reduction() const { return *reduction_; }

  // For each parameter "<name>.<slot>" and "<name>.steps" (a parameter without a name of its own is "param.<index>"),
  // "groups.<index>.lr", "lr_factor", and the reduction's under "reduction.". Copies, row-major.
  std::map<std::string, Tensor> state() const;
  // Continues bit for bit where state() was taken. Changes nothing when it throws: ValueError for an entry that is missing
  // or unknown, ShapeError for one of another shape.
  void load_state(const std::map<std::string, Tensor>& state);

 protected:
  struct Defaults {
    const char* name;  // tag of error messages
    double lr;
    double weight_decay;
    double clip_norm;  // global; infinity: none
  };
  // One parameter of a step, as apply() would be given it.
  struct Update {
    Tensor& parameter;
    const Tensor& gradient;
    ParameterState& state;
    Rates rates;
    std::size_t group;
    std::size_t number;  // among all parameters of the optimizer
  };
  // What all parameters of a step share, on their device (Backend::sgd_steps, adam_steps).
  struct Shared {
    Tensor factors;  // gradients are still to be multiplied by factors[0]; lr of group g in factors[1 + g]
    Tensor hold;
    Tensor counts;  // of counts_updates()
  };
  // All parameters at once, of one device. False where the optimizer does not; then each is apply()'s, as it is where some are
  // on a GPU and some are not.
  virtual bool applies_all() const { return false; }
  virtual void apply_all(std::vector<Update>&, Shared&) const {}
  // Whether apply_all() wants to know how many updates each parameter has had, in Shared::counts, which it counts on.
  virtual bool counts_updates() const { return false; }

  // Throws ValueError for bad rates, no parameter at all, an undefined one, or one that comes twice.
  Optimizer(std::vector<ParameterGroup> groups, std::shared_ptr<Reduction> reduction, const Defaults& defaults);

 private:
  struct Slot {
    Variable parameter;
    std::string name;
    std::size_t group;
    ParameterState state;
  };

  // A parameter and its gradient in one layout, before the update.
  struct Ready {
    Slot& slot;
    Tensor value, gradient;
  };
  static Ready ready(Slot& slot, double scale);
  std::vector<Ready> all_ready();
  std::vector<double> factors(double scale) const;
  Rates rates_of(const Slot& slot) const;
  bool updates_together(bool on_cuda) const;
  void update(std::vector<Ready>& all, Shared shared);
  bool steps_on_device() const;
  void step_on_device(double scale);
  void upload_factors(double scale);
  std::vector<double> counts() const;
  void upload_counts();

  const char* name_;
  double clip_norm_;
  Tensor factors_;                // on a GPU: scale of the gradients, lr of each group, steps whose gradient was not finite
  std::vector<double> uploaded_;  // what the host last wrote there
  Tensor counts_;                 // on a GPU: of counts_updates()
  std::vector<double> counted_;   // what is there by now
  double lr_factor_ = 1;
  std::vector<Rates> groups_;
  std::vector<Slot> parameters_;
  std::shared_ptr<Reduction> reduction_;
};

// The Euclidean norm of all gradients together; parameters without one count as 0. Throws NumericError naming a parameter
// whose gradient is not finite.
double gradient_norm(const std::vector<Variable>& parameters);
// Scales all gradients so that their norm is at most max_norm; returns the norm before. The tensors that were there are not
// written to: gradients may share storage.
double clip_gradient_norm(const std::vector<Variable>& parameters, double max_norm);

}  // namespace heft::optim
