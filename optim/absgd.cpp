#include "optim/absgd.h"

namespace heft::optim {
namespace {

template <class Options>
std::shared_ptr<Reduction> weights_of(const Options& options) {
  return std::make_shared<ExponentialWeights>(ExponentialWeightsOptions{.lambda = options.lambda,
                                                                        .gamma = options.gamma,
                                                                        .alpha = options.alpha,
                                                                        .start = options.start,
                                                                        .clip = options.clip,
                                                                        .auto_lambda = options.auto_lambda,
                                                                        .min_share = options.min_share});
}

SGDOptions base(const ABSGDOptions& options) {
  return {.lr = options.lr,
          .momentum = options.momentum,
          .dampening = options.dampening,
          .nesterov = options.nesterov,
          .weight_decay = options.weight_decay,
          .clip_norm = options.clip_norm};
}

AdamOptions base(const ABAdamOptions& options) {
  return {.lr = options.lr,
          .beta1 = options.beta1,
          .beta2 = options.beta2,
          .eps = options.eps,
          .weight_decay = options.weight_decay,
          .decoupled = options.decoupled,
          .clip_norm = options.clip_norm};
}

}  // namespace

ABSGD::ABSGD(std::vector<Variable> parameters, const ABSGDOptions& options)
    : SGD(std::move(parameters), base(options), weights_of(options)) {}
ABSGD::ABSGD(std::vector<ParameterGroup> groups, const ABSGDOptions& options)
    : SGD(std::move(groups), base(options), weights_of(options)) {}

ABAdam::ABAdam(std::vector<Variable> parameters, const ABAdamOptions& options)
    : Adam(std::move(parameters), base(options), weights_of(options)) {}
ABAdam::ABAdam(std::vector<ParameterGroup> groups, const ABAdamOptions& options)
    : Adam(std::move(groups), base(options), weights_of(options)) {}

}  // namespace heft::optim
