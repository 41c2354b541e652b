// ABSGD and ABAdam: SGD and Adam built with the exponential weights (optim/exponential_weights.h). With lambda = infinity
// they are SGD and Adam bit for bit.
#pragma once

#include "optim/adam.h"
#include "optim/exponential_weights.h"
#include "optim/sgd.h"

namespace heft::optim {

struct ABSGDOptions {
  double lr = 0.05;
  double momentum = 0.9;
  double dampening = 0;
  bool nesterov = false;
  double weight_decay = 5e-4;
  double clip_norm = std::numeric_limits<double>::infinity();
  // As in ExponentialWeightsOptions.
  double lambda = 5;
  double gamma = 0.9;
  double alpha = 1;
  Start start = Start::bias_corrected;
  std::optional<double> clip = {};
  std::optional<AutoLambda> auto_lambda = {};
  double min_share = 0;
};

class ABSGD : public SGD {
 public:
  // Throws ValueError naming the option.
  explicit ABSGD(std::vector<Variable> parameters, const ABSGDOptions& options = {});
  explicit ABSGD(std::vector<ParameterGroup> groups, const ABSGDOptions& options = {});

  // Weights, log u, effective sample size, objective, ... of the last batch.
  ExponentialWeights& reduction() const { return static_cast<ExponentialWeights&>(SGD::reduction()); }
  void set_lambda(double lambda) { reduction().set_lambda(lambda); }
};

struct ABAdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;
  double clip_norm = std::numeric_limits<double>::infinity();
  // As in ExponentialWeightsOptions.
  double lambda = 5;
  double gamma = 0.9;
  double alpha = 1;
  Start start = Start::bias_corrected;
  std::optional<double> clip = {};
  std::optional<AutoLambda> auto_lambda = {};
  double min_share = 0;
};

class ABAdam : public Adam {
 public:
  explicit ABAdam(std::vector<Variable> parameters, const ABAdamOptions& options = {});
  explicit ABAdam(std::vector<ParameterGroup> groups, const ABAdamOptions& options = {});

  ExponentialWeights& reduction() const { return static_cast<ExponentialWeights&>(Adam::reduction()); }
  void set_lambda(double lambda) { reduction().set_lambda(lambda); }
};

}  // namespace heft::optim
