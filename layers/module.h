// Module: a layer or a network. It owns named parameters and buffers and other modules, and computes forward(x).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"

namespace heft {

// Names are dotted paths, as in PyTorch's state_dict: "layer1.0.conv1.weight". A parameter or module that is reachable
// twice (shared weights) is listed once, under its first name. Lists are depth first, a module's own before those within.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // forward(x), seen by ForwardObserver. Modules call each other through this.
  Variable operator()(const Variable& x);
  virtual Variable forward(const Variable& x) = 0;
  // One line for summaries: "Conv2d(3 -> 16, 3x3, padding 1)".
  virtual std::string describe() const { return "Module"; }

  // Each Variable's name() is its dotted name as seen from the outermost module.
  std::vector<Variable> parameters() const;
  // Names as seen from this module, as in the next two and in state().
  std::vector<std::pair<std::string, Variable>> named_parameters() const;
  // Values that are kept but not trained, e.g. running statistics.
  std::vector<std::pair<std::string, Tensor*>> named_buffers();
  // This module first, under the name "".
  std::vector<std::pair<std::string, Module*>> named_modules();
  // Throws ValueError naming the modules there are.
  Module& module(const std::string& name);
  std::int64_t parameter_count() const;

  // Training mode (the initial one) or evaluation mode, of this and all modules within.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }
  // Freezes (false) or thaws all parameters.
  void set_requires_grad(bool requires_grad);
  // The same, and holds this module and all within in evaluation mode, whatever train() says: running statistics stay too.
  void freeze(bool on = true);
  // Moves parameters and buffers; integer buffers are counters of the host and stay there. Gradients are forgotten.
  void to(Device device);
  // f32 or f64, for parameters and floating-point buffers.
  void astype(DType dtype);

  // Copies of all parameters and buffers, row-major on the CPU, by name.
  std::map<std::string, Tensor> state() const;
  // Copies values in, converting dtype and device; gradients are forgotten. Throws ValueError, before anything is changed,
  // listing what is of another shape and, if strict, what is missing or left over.
  void load_state(const std::map<std::string, Tensor>& state, bool strict = true);

  // The results of the modules of these names in forward(x), e.g. {"layer3", "avgpool"}. Of a module that runs several
  // times, the last one. Throws ValueError for a name that does not exist or did not run.
  std::map<std::string, Variable> features(const Variable& x, const std::vector<std::string>& names);

 protected:
  // Throw ValueError for a name that is empty, dotted or taken. Returned references live as long as the module.
  Variable register_parameter(const std::string& name, Tensor value);
  Variable register_parameter(const std::string& name, Variable shared);
  Tensor& register_buffer(const std::string& name, Tensor value);
  template <class M>
  std::shared_ptr<M> register_module(const std::string& name, std::shared_ptr<M> module) {
    add_module(name, module);
    return module;
  }

 private:
  template <class M>
  static void walk(M& module, const std::string& path, std::vector<std::pair<std::string, M*>>& found);
  void check_name(const char* what, const std::string& name) const;
  void add_module(const std::string& name, std::shared_ptr<Module> module);
  std::vector<std::pair<std::string, const Tensor*>> buffers() const;

  std::string path_;  // from the outermost module
  bool training_ = true;
  bool frozen_ = false;
  std::vector<std::pair<std::string, Variable>> parameters_;
  std::deque<std::pair<std::string, Tensor>> buffers_;  // a deque: references stay valid
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> modules_;
};

using ModulePtr = std::shared_ptr<Module>;

// A layer from its options: layer<Linear>({.in_features = 784, .out_features = 10}), layer<ReLU>().
template <class M>
std::shared_ptr<M> layer(typename M::Options options) {
  return std::make_shared<M>(std::move(options));
}
template <class M>
std::shared_ptr<M> layer() {
  return std::make_shared<M>();
}

// While one lives, `see` is called on this thread with every module that has run and its result, innermost first.
class ForwardObserver {
 public:
  using See = std::function<void(const Module& module, const Variable& result)>;
  explicit ForwardObserver(See see);
  ~ForwardObserver();
  // Whether one lives on this thread: then modules that could run as one run one by one.
  static bool active();
  ForwardObserver(const ForwardObserver&) = delete;
  ForwardObserver& operator=(const ForwardObserver&) = delete;

 private:
  friend class Module;
  See see_;
  ForwardObserver* outer_;
};

}  // namespace heft
