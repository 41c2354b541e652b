#include "layers/module.h"

#include <algorithm>
#include <set>

#include "core/check.h"

namespace heft {
namespace {

thread_local ForwardObserver* observer = nullptr;

std::string join(const std::string& path, const std::string& name) {
  return path.empty() ? name : name.empty() ? path : path + "." + name;
}

// "a, b, c" and how many more: an error is for reading.
std::string listing(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 12;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i ? ", " : "") + names[i];
  return names.size() > kShown ? fmt::format("{} and {} more", text, names.size() - kShown) : text;
}

}  // namespace

ForwardObserver::ForwardObserver(See see) : see_(std::move(see)), outer_(observer) { observer = this; }
ForwardObserver::~ForwardObserver() { observer = outer_; }
bool ForwardObserver::active() { return observer != nullptr; }

Variable Module::operator()(const Variable& x) {
  Variable result = forward(x);
  for (ForwardObserver* o = observer; o; o = o->outer_) o->see_(*this, result);
  return result;
}

template <class M>
void Module::walk(M& module, const std::string& path, std::vector<std::pair<std::string, M*>>& found) {
  for (const auto& [name, seen] : found)
    if (seen == &module) return;
  found.emplace_back(path, &module);
  for (const auto& [name, child] : module.modules_) walk<M>(*child, join(path, name), found);
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> found;
  walk(*this, "", found);
  return found;
}

std::vector<std::pair<std::string, Variable>> Module::named_parameters() const {
  std::vector<std::pair<std::string, const Module*>> modules;
  walk(*this, "", modules);
  std::vector<std::pair<std::string, Variable>> all;
  std::set<const void*> seen;
  for (const auto& [path, module] : modules)
    for (const auto& [name, parameter] : module->parameters_)
      if (seen.insert(parameter.id()).second) all.emplace_back(join(path, name), parameter);
  return all;
}

std::vector<Variable> Module::parameters() const {
  std::vector<Variable> all;
  for (auto& [name, parameter] : named_parameters()) all.push_back(parameter);
  return all;
}

std::vector<std::pair<std::string, Tensor*>> Module::named_buffers() {
  std::vector<std::pair<std::string, Tensor*>> all;
  for (const auto& [path, module] : named_modules())
    for (auto& [name, buffer] : module->buffers_) all.emplace_back(join(path, name), &buffer);
  return all;
}

std::vector<std::pair<std::string, const Tensor*>> Module::buffers() const {
  std::vector<std::pair<std::string, const Module*>> modules;
  walk(*this, "", modules);
  std::vector<std::pair<std::string, const Tensor*>> all;
  for (const auto& [path, module] : modules)
    for (const auto& [name, buffer] : module->buffers_) all.emplace_back(join(path, name), &buffer);
  return all;
}

Module& Module::module(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [path, module] : named_modules()) {
    if (path == name) return *module;
    if (!path.empty()) known.push_back(path);
  }
  fail("module", "expected one of {}; got '{}'", listing(known), name);
}

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  for (const Variable& parameter : parameters()) count += parameter.value().numel();
  return count;
}

void Module::train(bool on) {
  for (const auto& [name, module] : named_modules()) module->training_ = on && !module->frozen_;
}

void Module::freeze(bool on) {
  set_requires_grad(!on);
  for (const auto& [name, module] : named_modules()) module->frozen_ = on;
  train(!on);
}

void Module::set_requires_grad(bool requires_grad) {
  for (Variable& parameter : parameters()) parameter.set_requires_grad(requires_grad);
}

void Module::to(Device device) {
  for (Variable& parameter : parameters())
    if (parameter.device() != device) parameter.set_value(parameter.value().contiguous().to(device));
  for (const auto& [name, buffer] : named_buffers())
    if (is_floating(buffer->dtype())) *buffer = buffer->to(device);
}

void Module::astype(DType dtype) {
  check<DTypeError>(is_floating(dtype), "astype", "expected f32 or f64 for a module; got {}", dtype);
  for (Variable& parameter : parameters())
    if (parameter.dtype() != dtype) parameter.set_value(parameter.value().contiguous().astype(dtype));
  for (const auto& [name, buffer] : named_buffers())
    if (is_floating(buffer->dtype())) *buffer = buffer->astype(dtype);
}

std::map<std::string, Tensor> Module::state() const {
  const auto snapshot = [](const Tensor& live) {
    Tensor copy = live.contiguous().to(Device::cpu());
    return copy.shares_storage(live) ? copy.clone() : copy;
  };
  std::map<std::string, Tensor> all;
  for (const auto& [name, parameter] : named_parameters()) all.emplace(name, snapshot(parameter.value()));
  for (const auto& [name, buffer] : buffers()) all.emplace(name, snapshot(*buffer));
  return all;
}

void Module::load_state(const std::map<std::string, Tensor>& state, bool strict) {
  std::vector<std::string> missing, other_shape;
  std::set<std::string> left_over;
  for (const auto& [name, value] : state) left_over.insert(name);
  const auto inspect = [&](const std::string& name, const Shape& shape) {
    left_over.erase(name);
    const auto found = state.find(name);
    if (found == state.end()) missing.push_back(name);
    else if (!found->second.defined()) other_shape.push_back(fmt::format("{} (expected {}, got no tensor)", name, shape));
    else if (!(found->second.shape() == shape))
      other_shape.push_back(fmt::format("{} (expected {}, got {})", name, shape, found->second.shape()));
  };
  auto parameters = named_parameters();
  const auto buffers = named_buffers();
  for (const auto& [name, parameter] : parameters) inspect(name, parameter.shape());
  for (const auto& [name, buffer] : buffers) inspect(name, buffer->shape());

  std::string problems;
  if (!other_shape.empty()) problems += "; of another shape: " + listing(other_shape);
  if (strict && !missing.empty()) problems += "; missing: " + listing(missing);
  if (strict && !left_over.empty()) problems += "; left over: " + listing({left_over.begin(), left_over.end()});
  check(problems.empty(), "load_state", "expected the names and shapes of this module{}", problems);

  const auto converted = [&](const Tensor& to, const Tensor& from) {
    Tensor copy = from.contiguous().astype(to.dtype()).to(to.device());
    return copy.shares_storage(from) ? copy.clone() : copy;
  };
  for (auto& [name, parameter] : parameters)
    if (const auto found = state.find(name); found != state.end()) {
      parameter.zero_grad();
      parameter.set_value(converted(parameter.value(), found->second));
    }
  for (const auto& [name, buffer] : buffers)
    if (const auto found = state.find(name); found != state.end()) *buffer = converted(*buffer, found->second);
}

std::map<std::string, Variable> Module::features(const Variable& x, const std::vector<std::string>& names) {
  std::map<const Module*, std::string> wanted;
  for (const std::string& name : names) wanted.emplace(&module(name), name);
  std::map<std::string, Variable> results;
  {
    const ForwardObserver watch([&](const Module& module, const Variable& result) {
      if (const auto found = wanted.find(&module); found != wanted.end()) results[found->second] = result;
    });
    (*this)(x);
  }
  for (const auto& [module, name] : wanted)
    check(results.count(name) != 0, "features", "expected '{}' to run in the forward pass; it did not", name);
  return results;
}

void Module::check_name(const char* what, const std::string& name) const {
  check(!name.empty() && name.find('.') == std::string::npos, what, "expected a name without dots; got '{}'", name);
  const auto taken = [&](const auto& entries) {
    return std::any_of(entries.begin(), entries.end(), [&](const auto& entry) { return entry.first == name; });
  };
  check(!taken(parameters_) && !taken(buffers_) && !taken(modules_), what,
        "expected a name that is free in this module; '{}' is taken", name);
}

Variable Module::register_parameter(const std::string& name, Tensor value) {
  return register_parameter(name, Variable(std::move(value), true));
}

Variable Module::register_parameter(const std::string& name, Variable shared) {
  check_name("register_parameter", name);
  check(shared.defined(), "register_parameter", "expected a value for '{}'; got none", name);
  if (shared.name().empty()) shared.set_name(join(path_, name));
  parameters_.emplace_back(name, shared);
  return shared;
}

Tensor& Module::register_buffer(const std::string& name, Tensor value) {
  check_name("register_buffer", name);
  check(value.defined(), "register_buffer", "expected a value for '{}'; got none", name);
  return buffers_.emplace_back(name, std::move(value)).second;
}

void Module::add_module(const std::string& name, std::shared_ptr<Module> module) {
  check_name("register_module", name);
  check(module != nullptr, "register_module", "expected a module for '{}'; got null", name);
  for (const auto& [path, inner] : module->named_modules())
    check(inner != this, "register_module", "expected a module that does not contain this one; '{}' does", name);
  modules_.emplace_back(name, std::move(module));
  for (const auto& [path, inner] : named_modules()) inner->path_ = join(path_, path);
  for (auto& [path, parameter] : named_parameters()) parameter.set_name(join(path_, path));
}

}  // namespace heft
