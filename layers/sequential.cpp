#include "layers/sequential.h"

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
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const bool relu_next = i + 1 < steps_.size() && !ForwardObserver::active() && is_exactly<ReLU>(*steps_[i + 1]);
    if (relu_next && forward_relu<BatchNorm2d, Conv2d, Linear>(*steps_[i], y)) ++i;
    else y = (*steps_[i])(y);
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
