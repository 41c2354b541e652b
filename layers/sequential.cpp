#include "layers/sequential.h"

#include <algorithm>
#include <span>
#include <typeinfo>

#include "autograd/elementwise.h"
#include "core/check.h"
#include "layers/activation.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "layers/norm.h"

namespace heft {
namespace {

// Not of a class derived from it, whose forward may be another.
template <class M>
bool is_exactly(const Module& module) {
  return typeid(module) == typeid(M);
}

// y = relu(module(y)) in fewer passes, where the module is of a class that can.
template <class... M>
bool forward_relu(Module& module, Variable& y) {
  return ((is_exactly<M>(module) && (y = static_cast<M&>(module).forward_relu(y), true)) || ...);
}

// How many of the modules from the first on were done as one: y is then their result.
std::size_t forward_fused(std::span<const ModulePtr> modules, Variable& y) {
  const auto is_relu = [&](std::size_t i) { return i < modules.size() && is_exactly<ReLU>(*modules[i]); };
  if (is_relu(2) && is_exactly<Conv2d>(*modules[0]) && is_exactly<BatchNorm2d>(*modules[1])) {
    y = static_cast<BatchNorm2d&>(*modules[1]).forward_relu(static_cast<Conv2d&>(*modules[0]), y);
    return 3;
  }
  return is_relu(1) && forward_relu<BatchNorm2d, Conv2d, Linear>(*modules[0], y) ? 2 : 0;
}

}  // namespace

Sequential::Sequential(std::initializer_list<ModulePtr> modules) {
  for (const ModulePtr& module : modules) append(module);
}
Sequential& Sequential::append(ModulePtr module) { return append(std::to_string(size()), std::move(module)); }
Sequential& Sequential::append(const std::string& name, ModulePtr module) {
  steps_.push_back(register_module(name, std::move(module)));
  return *this;
}

Variable Sequential::forward(const Variable& x) {
  Variable y = x;
  for (std::size_t i = 0; i < steps_.size();) {
    const std::size_t fused = ForwardObserver::active() ? 0 : forward_fused(std::span(steps_).subspan(i), y);
    if (fused == 0) y = (*steps_[i])(y);
    i += std::max<std::size_t>(fused, 1);
  }
  return y;
}

std::shared_ptr<Sequential> sequential(std::initializer_list<ModulePtr> modules) {
  return std::make_shared<Sequential>(modules);
}

Residual::Residual(const Options& options) {
  check(options.body != nullptr, "Residual", "expected a body; got null");
  body_ = register_module("body", options.body);
  if (options.shortcut) shortcut_ = register_module("shortcut", options.shortcut);
}

Variable Residual::forward(const Variable& x) {
  const Variable y = (*body_)(x);
  const Variable skipped = shortcut_ ? (*shortcut_)(x) : x;
  check<ShapeError>(y.shape() == skipped.shape(), "Residual", "expected body and shortcut of equal shape; got {} and {}",
                    y.shape(), skipped.shape());
  return y + skipped;
}

}  // namespace heft
