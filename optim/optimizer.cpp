#include "optim/optimizer.h"

#include <cmath>
#include <set>

#include "core/check.h"
#include "core/ops.h"

namespace heft::optim {
namespace {

void check_rate(double value, const char* op, const char* what) {
  check(std::isfinite(value) && value >= 0, op, "expected a finite {} of at least 0; got {}", what, value);
}

bool trainable(const Variable& parameter) { return parameter.requires_grad() && parameter.has_grad(); }

// A remembered tensor where its parameter is now: parameters move between devices, and take the layout that their layer
// wants on its first forward pass.
void follow(Tensor& tensor, const Tensor& parameter) {
  if (tensor.device() != parameter.device()) tensor = tensor.contiguous().to(parameter.device());
  if (tensor.dtype() != parameter.dtype()) tensor = tensor.astype(parameter.dtype());
  if (tensor.layout() != parameter.layout()) tensor = backend_for(parameter).to_layout(tensor.contiguous(), parameter.layout());
}

Tensor row_major_copy(const Tensor& tensor) { return tensor.is_contiguous() ? tensor.clone() : tensor.contiguous(); }

// State entries by prefix: "a.b" under "a." is "b".
std::map<std::string, Tensor> under(const std::string& prefix, const std::map<std::string, Tensor>& state) {
  std::map<std::string, Tensor> result;
  for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix); ++it)
    result[it->first.substr(prefix.size())] = it->second;
  return result;
}

}  // namespace

Optimizer::Optimizer(std::vector<ParameterGroup> groups, std::shared_ptr<Reduction> reduction, const Defaults& defaults)
    : name_(defaults.name), clip_norm_(defaults.clip_norm), reduction_(std::move(reduction)) {
  check(clip_norm_ > 0, name_, "expected a clip_norm above 0 (infinity for none); got {}", clip_norm_);
  check(reduction_ != nullptr, name_, "expected a reduction; got none");
  std::set<const void*> seen;
  std::set<std::string> names;
  for (ParameterGroup& group : groups) {
    const Rates rates{group.lr.value_or(defaults.lr), group.weight_decay.value_or(defaults.weight_decay)};
    check_rate(rates.lr, name_, "lr");
    check_rate(rates.weight_decay, name_, "weight_decay");
    for (Variable& parameter : group.parameters) {
      const std::size_t index = parameters_.size();
      check(parameter.defined() && parameter.is_leaf() && is_floating(parameter.dtype()), name_,
            "expected parameters that are leaves of f32 or f64; parameter {} is not", index);
      const bool is_new = seen.insert(parameter.id()).second;
      const bool has_its_own = parameter.value().numel() == 0 || seen.insert(parameter.value().raw()).second;
      check(is_new && has_its_own, name_, "expected each parameter once; '{}' (parameter {}) {}", parameter.name(), index,
            is_new ? "lies in the memory of another" : "comes again");
      std::string name = parameter.name();
      if (name.empty() || !names.insert(name).second) name = "param." + std::to_string(index);
      parameters_.push_back({std::move(parameter), std::move(name), groups_.size(), {}});
    }
    groups_.push_back(rates);
  }
  check(!parameters_.empty(), name_, "expected at least one parameter; got none");
}

void Optimizer::zero_grad() {
  reduction_->finish();
  for (Slot& slot : parameters_) slot.parameter.zero_grad();
}

void Optimizer::step() {
  const std::vector<Variable> all = parameters();
  bool any = false;
  for (const Variable& parameter : all) any = any || trainable(parameter);
  check<AutogradError>(any, name_,
                       "expected gradients; none of the {} parameters has one (call backward(opt.reduce(losses)) first)",
                       all.size());
  double scale = reduction_->finish();
  if (steps_on_device()) return step_on_device(scale);
  if (reduction_->device_state().defined()) reduction_->tally();  // throws what a CPU's reduce() has thrown by now
  if (!std::isinf(clip_norm_)) {
    const double norm = gradient_norm(all) * scale;
    if (norm > clip_norm_) scale *= clip_norm_ / norm;
  }
  if (scale != 0 && updates_together(false)) {  // a factor of 0 would hold the update, velocity and decay too
    std::vector<Ready> together = all_ready();
    return update(together, {.factors = Tensor::from(factors(scale)), .hold = {}, .counts = Tensor::from(counts())});
  }
  for (Slot& slot : parameters_) {
    if (!trainable(slot.parameter)) continue;
    Ready one = ready(slot, scale);
    apply(one.value, one.gradient, slot.state, rates_of(slot));
    ++slot.state.steps;
  }
}

// A parameter's value and its gradient times `scale`, and the tensors remembered of it, all in one layout.
Optimizer::Ready Optimizer::ready(Slot& slot, double scale) {
  Tensor value = slot.parameter.value();
  // What is optimised has all of its digits: a network's parameters always, an activation that was made a leaf from here on.
  if (is_compact(value) || (!value.is_opaque() && !value.is_contiguous())) slot.parameter.set_value(value = value.contiguous());
  Tensor gradient = scale == 1 ? slot.parameter.grad() : slot.parameter.grad() * scale;
  follow(gradient, value);
  if (!gradient.is_opaque()) gradient = gradient.contiguous();
  for (auto& [name, tensor] : slot.state.slots) follow(tensor, value);
  return {slot, value, gradient};
}

std::vector<Optimizer::Ready> Optimizer::all_ready() {
  std::vector<Ready> all;
  for (Slot& slot : parameters_)
    if (trainable(slot.parameter)) all.push_back(ready(slot, 1));
  return all;
}

Rates Optimizer::rates_of(const Slot& slot) const { return {lr(slot.group), groups_[slot.group].weight_decay}; }

// Whether this optimizer updates all parameters at once, and all of them are on a GPU, or all on a CPU.
bool Optimizer::updates_together(bool on_cuda) const {
  bool all = applies_all();
  for (const Slot& slot : parameters_)
    all = all && (!trainable(slot.parameter) || slot.parameter.device().is_cuda() == on_cuda);
  return all;
}

// What Backend::sgd_steps wants to know: a factor on all gradients, and the learning rate of each group.
std::vector<double> Optimizer::factors(double scale) const {
  std::vector<double> all = {scale};
  for (std::size_t group = 0; group < groups_.size(); ++group) all.push_back(lr(group));
  return all;
}

void Optimizer::update(std::vector<Ready>& all, Shared shared) {
  std::vector<Update> updates;
  for (Ready& one : all)
    updates.push_back({one.value, one.gradient, one.slot.state, rates_of(one.slot), one.slot.group,
                       static_cast<std::size_t>(&one.slot - parameters_.data())});
  apply_all(updates, shared);
  for (Ready& one : all) ++one.slot.state.steps;
}

bool Optimizer::steps_on_device() const { return updates_together(true); }

// Only what has changed since, so that a step that is being recorded writes nothing from the host.
void Optimizer::upload_factors(double scale) {
  const std::vector<double> wanted = factors(scale);
  if (wanted == uploaded_) return;
  const auto count = static_cast<std::int64_t>(wanted.size());
  if (!factors_.defined()) factors_ = Tensor::zeros({count + 1}, DType::f64, Device::cuda());
  factors_.slice(0, 0, count).copy_(Tensor::from(wanted));
  uploaded_ = wanted;
}

// The updates that each parameter has had, where the optimizer asks for them.
std::vector<double> Optimizer::counts() const {
  if (!counts_updates()) return {};
  const std::vector<std::int64_t> all = updates();
  return {all.begin(), all.end()};
}

// Where a state was loaded; otherwise the device has counted by itself.
void Optimizer::upload_counts() {
  const std::vector<double> wanted = counts();
  if (wanted == counted_) return;
  if (!counts_.defined()) counts_ = Tensor::empty({static_cast<std::int64_t>(wanted.size())}, DType::f64, Device::cuda());
  counts_.copy_(Tensor::from(wanted));
  counted_ = wanted;
}

void Optimizer::step_on_device(double scale) {
  const bool clips = !std::isinf(clip_norm_);
  upload_factors(clips ? 1 : scale);
  upload_counts();
  std::vector<Ready> all = all_ready();
  std::vector<Tensor> gradients;
  for (const Ready& one : all) gradients.push_back(one.gradient);
  if (clips) backend_for(gradients.front()).clip_factor(gradients, clip_norm_, scale, factors_);
  update(all, {.factors = factors_, .hold = reduction_->device_state(), .counts = counts_});
  counted_ = counts();
}

void Optimizer::verify() const {
  reduction_->tally();
  if (!factors_.defined()) return;
  const double failures = factors_.to_vector<double>().back();
  check<NumericError>(failures == 0, name_, "expected finite gradients; those of {} steps were not", failures);
}

bool Optimizer::replayable() const { return steps_on_device() && reduction_->stays_on_device(); }

void Optimizer::before_replay() {
  upload_factors(1);
  upload_counts();
  reduction_->upload();
}

void Optimizer::replayed(const Reduction::DeviceBatch& batch, const std::vector<std::int64_t>& updates) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].state.steps += updates[i];
  counted_ = counts();
  reduction_->replayed(batch);
}

std::vector<const void*> Optimizer::recorded_places() const {
  std::vector<const void*> places;
  const auto add = [&places](const Tensor& x) { places.push_back(x.defined() ? x.raw() : nullptr); };
  for (const Slot& slot : parameters_) {
    places.push_back(slot.parameter.requires_grad() ? this : nullptr);
    add(slot.parameter.value());
    for (const auto& [name, tensor] : slot.state.slots) add(tensor);
  }
  add(factors_);
  add(counts_);
  add(reduction_->device_state());
  return places;
}

std::vector<std::int64_t> Optimizer::updates() const {
  std::vector<std::int64_t> all;
  for (const Slot& slot : parameters_) all.push_back(slot.state.steps);
  return all;
}

std::vector<ParameterState> Optimizer::parameter_states() const {
  std::vector<ParameterState> states;
  for (const Slot& slot : parameters_) states.push_back(slot.state);
  return states;
}

void Optimizer::restore(const std::vector<ParameterState>& states) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].state = states[i];
}

Tensor Optimizer::minimize(const Variable& losses) {
  const Variable scalar = reduce(losses);
  zero_grad();
  backward(scalar);
  step();
  return scalar.value();
}

double Optimizer::lr(std::size_t group) const {
  check(group < groups_.size(), name_, "expected a group below {}; got {}", groups_.size(), group);
  return groups_[group].lr * lr_factor_;
}

void Optimizer::set_lr(double lr) {
  for (std::size_t group = 0; group < groups_.size(); ++group) set_lr(lr, group);
}

void Optimizer::set_lr(double lr, std::size_t group) {
  check(group < groups_.size(), name_, "expected a group below {}; got {}", groups_.size(), group);
  check_rate(lr, name_, "lr");
  groups_[group].lr = lr;
}

void Optimizer::set_lr_factor(double factor) {
  check_rate(factor, name_, "lr factor");
  lr_factor_ = factor;
}

std::vector<Variable> Optimizer::parameters() const {
  std::vector<Variable> all;
  for (const Slot& slot : parameters_) all.push_back(slot.parameter);
  return all;
}

std::map<std::string, Tensor> Optimizer::state() const {
  std::map<std::string, Tensor> result;
  for (const Slot& slot : parameters_) {
    for (const auto& [name, tensor] : slot.state.slots) result[slot.name + "." + name] = row_major_copy(tensor);
    result[slot.name + ".steps"] = number(static_cast<double>(slot.state.steps));
  }
  for (std::size_t i = 0; i < groups_.size(); ++i) result["groups." + std::to_string(i) + ".lr"] = number(groups_[i].lr);
  result["lr_factor"] = number(lr_factor_);
  for (const auto& [name, tensor] : reduction_->state()) result["reduction." + name] = tensor;
  return result;
}

void Optimizer::load_state(const std::map<std::string, Tensor>& state) {
  std::size_t known = 0;
  const auto take = [&](const std::string& key) {
    ++known;
    return take_number(state, key, name_);
  };
  std::vector<ParameterState> loaded;
  for (const Slot& slot : parameters_) {
    ParameterState& one = loaded.emplace_back();
    one.steps = static_cast<std::int64_t>(take(slot.name + ".steps"));
    for (const std::string& name : slots()) {
      const auto found = state.find(slot.name + "." + name);
      if (found == state.end()) continue;
      ++known;
      const Shape& shape = slot.parameter.shape();
      check<ShapeError>(found->second.shape() == shape, name_, "expected shape {} for '{}'; got {}", shape, found->first,
                        found->second.shape());
      one.slots[name] = row_major_copy(found->second);
    }
    check(one.steps == 0 || one.slots.size() == slots().size(), name_, "expected {} tensors for '{}' in the state; got {}",
          slots().size(), slot.name, one.slots.size());
  }
  std::vector<double> lrs;
  for (std::size_t i = 0; i < groups_.size(); ++i) lrs.push_back(take("groups." + std::to_string(i) + ".lr"));
  const double factor = take("lr_factor");
  const auto reduction = under("reduction.", state);
  known += reduction.size();
  check(known == state.size(), name_, "expected {} entries in the state of these parameters; got {}", known, state.size());

  reduction_->load_state(reduction);
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].state = std::move(loaded[i]);
  for (std::size_t i = 0; i < groups_.size(); ++i) groups_[i].lr = lrs[i];
  lr_factor_ = factor;
  reduction_->forget_errors();
  if (factors_.defined()) factors_.slice(0, factors_.numel() - 1, factors_.numel()).fill_(0);
}

double gradient_norm(const std::vector<Variable>& parameters) {
  double squares = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!trainable(parameters[i])) continue;
    const double square = sum_squares(parameters[i].grad()).item<double>();
    check<NumericError>(std::isfinite(square), "gradient_norm", "expected finite gradients; that of {} is not",
                        parameters[i].name().empty() ? "parameter " + std::to_string(i) : "'" + parameters[i].name() + "'");
    squares += square;
  }
  return std::sqrt(squares);
}

double clip_gradient_norm(const std::vector<Variable>& parameters, double max_norm) {
  check(max_norm > 0, "clip_gradient_norm", "expected a norm above 0; got {}", max_norm);
  const double norm = gradient_norm(parameters);
  if (norm > max_norm)
    for (Variable parameter : parameters)
      if (trainable(parameter)) parameter.set_grad(parameter.grad() * (max_norm / norm));
  return norm;
}

}  // namespace heft::optim
