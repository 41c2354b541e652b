#include "optim/adam.h"

#include "core/backend.h"
#include "core/check.h"

namespace heft::optim {
namespace {

AdamOptions decoupled(const AdamWOptions& options) {
  return {.lr = options.lr,
          .beta1 = options.beta1,
          .beta2 = options.beta2,
          .eps = options.eps,
          .weight_decay = options.weight_decay,
          .decoupled = true,
          .clip_norm = options.clip_norm};
}

}  // namespace

Adam::Adam(std::vector<Variable> parameters, const AdamOptions& options, std::shared_ptr<Reduction> reduction)
    : Adam(std::vector<ParameterGroup>{{.parameters = std::move(parameters)}}, options, std::move(reduction)) {}

Adam::Adam(std::vector<ParameterGroup> groups, const AdamOptions& options, std::shared_ptr<Reduction> reduction)
    : Optimizer(std::move(groups), std::move(reduction), {"adam", options.lr, options.weight_decay, options.clip_norm}),
      options_(options) {
  check(options.beta1 >= 0 && options.beta1 < 1, "adam", "expected beta1 in [0, 1); got {}", options.beta1);
  check(options.beta2 >= 0 && options.beta2 < 1, "adam", "expected beta2 in [0, 1); got {}", options.beta2);
  check(options.eps > 0, "adam", "expected eps above 0; got {}", options.eps);
}

AdamStep Adam::step_of(const Rates& rates, std::int64_t step) const {
  return {.lr = rates.lr,
          .beta1 = options_.beta1,
          .beta2 = options_.beta2,
          .eps = options_.eps,
          .weight_decay = rates.weight_decay,
          .decoupled = options_.decoupled,
          .step = step};
}

void Adam::prepare(const Tensor& parameter, ParameterState& state) const {
  if (state.steps > 0) return;
  for (const std::string& name : slots()) state.slots[name] = Tensor::zeros_like(parameter);
}

void Adam::apply(Tensor& parameter, const Tensor& gradient, ParameterState& state, const Rates& rates) const {
  prepare(parameter, state);
  backend_for(parameter).adam_step(parameter, gradient, state.slots["first_moment"], state.slots["second_moment"],
                                   step_of(rates, state.steps + 1));
}

void Adam::apply_all(std::vector<Update>& updates, Shared& shared) const {
  std::vector<AdamTarget> targets;
  for (Update& update : updates) {
    prepare(update.parameter, update.state);
    targets.push_back({.parameter = update.parameter,
                       .gradient = update.gradient,
                       .first_moment = update.state.slots["first_moment"],
                       .second_moment = update.state.slots["second_moment"],
                       .weight_decay = update.rates.weight_decay,
                       .group = static_cast<std::int64_t>(update.group),
                       .number = static_cast<std::int64_t>(update.number)});
  }
  backend_for(updates.front().parameter).adam_steps(targets, step_of({}, 0), shared.factors, shared.counts, shared.hold);
}

std::vector<std::string> Adam::slots() const { return {"first_moment", "second_moment"}; }

AdamW::AdamW(std::vector<Variable> parameters, const AdamWOptions& options, std::shared_ptr<Reduction> reduction)
    : Adam(std::move(parameters), decoupled(options), std::move(reduction)) {}

AdamW::AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options, std::shared_ptr<Reduction> reduction)
    : Adam(std::move(groups), decoupled(options), std::move(reduction)) {}

}  // namespace heft::optim
