#include "optim/sgd.h"

#include "core/backend.h"
#include "core/check.h"

namespace heft::optim {

SGD::SGD(std::vector<Variable> parameters, const SGDOptions& options, std::shared_ptr<Reduction> reduction)
    : SGD(std::vector<ParameterGroup>{{.parameters = std::move(parameters)}}, options, std::move(reduction)) {}

SGD::SGD(std::vector<ParameterGroup> groups, const SGDOptions& options, std::shared_ptr<Reduction> reduction)
    : Optimizer(std::move(groups), std::move(reduction), {"sgd", options.lr, options.weight_decay, options.clip_norm}),
      options_(options) {
  check(options.momentum >= 0 && options.momentum < 1, "sgd", "expected momentum in [0, 1); got {}", options.momentum);
  check(options.dampening >= 0 && options.dampening <= 1, "sgd", "expected dampening in [0, 1]; got {}", options.dampening);
  check(!options.nesterov || (options.momentum > 0 && options.dampening == 0), "sgd",
        "expected momentum above 0 and no dampening with nesterov; got momentum {}, dampening {}", options.momentum,
        options.dampening);
}

void SGD::apply(Tensor& parameter, const Tensor& gradient, ParameterState& state, const Rates& rates) const {
  const bool first = !state.slots.contains("momentum");
  Tensor velocity;
  if (options_.momentum > 0) {
    if (first) state.slots["momentum"] = Tensor::empty_like(parameter);
    velocity = state.slots["momentum"];
  }
  backend_for(parameter).sgd_step(parameter, gradient, velocity,
                                  {.lr = rates.lr,
                                   .momentum = options_.momentum,
                                   .dampening = options_.dampening,
                                   .weight_decay = rates.weight_decay,
                                   .nesterov = options_.nesterov,
                                   .first = first});
}

void SGD::apply_all(std::vector<Update>& updates, Shared& shared) const {
  std::vector<SgdTarget> targets;
  for (Update& update : updates) {
    SgdTarget& target = targets.emplace_back();
    target = {.parameter = update.parameter,
              .gradient = update.gradient,
              .velocity = {},
              .weight_decay = update.rates.weight_decay,
              .group = static_cast<std::int64_t>(update.group)};
    if (options_.momentum == 0) continue;
    target.first = !update.state.slots.contains("momentum");
    if (target.first) update.state.slots["momentum"] = Tensor::zeros_like(update.parameter);
    target.velocity = update.state.slots["momentum"];
  }
  backend_for(updates.front().parameter)
      .sgd_steps(targets, {.momentum = options_.momentum, .dampening = options_.dampening, .nesterov = options_.nesterov},
                 shared.factors, shared.hold);
}

std::vector<std::string> SGD::slots() const {
  if (options_.momentum > 0) return {"momentum"};
  return {};
}

}  // namespace heft::optim
