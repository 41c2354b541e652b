// Modules one after the other, and modules beside a shortcut.
#pragma once

#include <initializer_list>

#include "layers/module.h"

namespace heft {

// forward(x) = last(...(first(x))). An empty one is the identity.
class Sequential : public Module {
 public:
  Sequential() = default;
  Sequential(std::initializer_list<ModulePtr> modules);
  // Named by position ("0", "1", ...) or as given; throw ValueError as register_module does.
  Sequential& append(ModulePtr module);
  Sequential& append(const std::string& name, ModulePtr module);
  std::size_t size() const { return steps_.size(); }

  Variable forward(const Variable& x) override;
  std::string describe() const override { return "Sequential"; }

 private:
  std::vector<ModulePtr> steps_;
};

// sequential({layer<Linear>({.in_features = 4, .out_features = 8}), layer<ReLU>()})
std::shared_ptr<Sequential> sequential(std::initializer_list<ModulePtr> modules);

struct ResidualOptions {
  ModulePtr body = {};      // required
  ModulePtr shortcut = {};  // null: the identity
};

// forward(x) = body(x) + shortcut(x) (He et al. 2016). Modules: body, shortcut. Throws ValueError without a body, and
// ShapeError where the two results differ in shape.
class Residual : public Module {
 public:
  using Options = ResidualOptions;
  explicit Residual(const Options& options);
  Variable forward(const Variable& x) override;
  std::string describe() const override { return "Residual"; }

 private:
  ModulePtr body_;
  ModulePtr shortcut_;
};

}  // namespace heft
