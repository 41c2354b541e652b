// Activations as layers. Formulas: core/functors.h.
#pragma once

#include <functional>
#include <string>

#include "layers/module.h"

namespace heft {

// Any function of one Variable as a layer without parameters: Activation("Square", [](const Variable& x) { return x * x; }).
// Throws ValueError where there is no function.
class Activation : public Module {
 public:
  using Function = std::function<Variable(const Variable&)>;
  Activation(std::string name, Function function);
  Variable forward(const Variable& x) override { return function_(x); }
  std::string describe() const override { return name_; }

 private:
  std::string name_;
  Function function_;
};

class ReLU : public Activation {
 public:
  ReLU();
};
class GELU : public Activation {
 public:
  GELU();
};
class SiLU : public Activation {
 public:
  SiLU();
};
class Sigmoid : public Activation {
 public:
  Sigmoid();
};
class Tanh : public Activation {
 public:
  Tanh();
};
class Softplus : public Activation {
 public:
  Softplus();
};

struct LeakyReLUOptions {
  double slope = 0.01;  // for x < 0; finite (ValueError)
};
class LeakyReLU : public Activation {
 public:
  using Options = LeakyReLUOptions;
  explicit LeakyReLU(const Options& options = {});
};

}  // namespace heft
