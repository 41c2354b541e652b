#include "layers/sequential.h"

#include "autograd/elementwise.h"
#include "core/check.h"

namespace heft {

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
  for (const ModulePtr& step : steps_) y = (*step)(y);
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
