// Variable: a Tensor and the graph that made it. Copies of a Variable are the same Variable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/attribute.h"
#include "core/tensor.h"

namespace heft {

struct Node;  // one recorded operation; autograd/variable.cpp

class Variable {
 public:
  Variable() = default;  // undefined
  // A constant: no gradient flows to it. Implicit, so that Tensors can be operands of differentiable functions.
  Variable(Tensor value);  // NOLINT(google-explicit-constructor)
  // A leaf; backward() leaves its gradient in grad(). Throws DTypeError unless f32 or f64 when requires_grad.
  Variable(Tensor value, bool requires_grad);

  bool defined() const { return impl_ != nullptr; }
  const Tensor& value() const;
  const Shape& shape() const { return value().shape(); }
  std::int64_t size(int axis) const { return value().size(axis); }
  int rank() const { return value().rank(); }
  DType dtype() const { return value().dtype(); }
  Device device() const { return value().device(); }

  // Whether a gradient flows to or through this Variable.
  bool requires_grad() const;
  // Freezes or thaws a leaf. Throws AutogradError on the result of an operation.
  void set_requires_grad(bool requires_grad);
  bool is_leaf() const;

  // The sum over all backward() calls since zero_grad, of the value's shape and layout.
  // Throws AutogradError when there is none, naming the Variable.
  const Tensor& grad() const;
  bool has_grad() const;
  void set_grad(Tensor grad);  // same shape and dtype as the value
  void zero_grad();            // forgets the gradient

  // Replaces a leaf's value (another layout, dtype or device is welcome). Forgets the gradient if those differ.
  void set_value(Tensor value);
  // Keeps the logical value, changes the layout it is stored in. Leaves only; the gradient follows.
  void set_layout_of_value(Tensor same_value);
  // The same value, cut from the graph.
  Variable detach() const;

  // A dotted name, for parameters: "layer1.0.conv1.weight". Appears in errors, summaries and state files.
  const std::string& name() const;
  void set_name(std::string name);

  // Identity, for keys.
  const void* id() const { return impl_.get(); }
  friend bool operator==(const Variable& a, const Variable& b) { return a.impl_ == b.impl_; }

  struct Impl;
  const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// While one lives, operations of this thread record nothing.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};
bool grad_enabled();

// d root / d leaf for every leaf that requires a gradient, added to its grad(). The root must have one element.
void backward(const Variable& root);
// The same with d objective / d root given: any shape, equal to the root's. backward(losses, weights / N) is weighted SGD.
// The graph is freed as the sweep passes, unless it is kept: then it can be swept again, and jvp() (autograd/jvp.h) used on
// it. Throws AutogradError on a second pass over a graph that was freed, on a root that needs no gradient, and where a saved
// value was changed in place, naming the operation.
struct BackwardOptions {
  bool keep_graph = false;
};
void backward(const Variable& root, const Tensor& seed, const BackwardOptions& options = {});
// Backward sweeps this process has made so far.
std::uint64_t backward_count();

// ---------------------------------------------------------------------------------------- writing an operation

// A tensor kept for the pullback and the tangent. Reading it throws AutogradError if its storage was written to since.
class Saved {
 public:
  Saved(Tensor tensor) : tensor_(std::move(tensor)), version_(tensor_.defined() ? tensor_.version() : 0) {}  // NOLINT
  const Tensor& get() const;
  operator const Tensor&() const { return get(); }  // NOLINT

 private:
  Tensor tensor_;
  std::uint64_t version_;
};

// An input's value for the pullback: kept, or made again each time where its operation offers that, unless the Variable lives
// still and was not written to. It needs no memory until then. For values that a pullback reads once.
class SavedInput {
 public:
  explicit SavedInput(const Variable& input);  // undefined: nothing
  Tensor get() const;

 private:
  Saved value_;
  std::function<Tensor()> again_;
  std::weak_ptr<Variable::Impl> input_;
  std::uint64_t version_ = 0;
};
// Offers `again`, which makes the value that `result` has now, to the bit, from what the graph keeps anyway. Once it is written
// to, it is kept. Where nothing was recorded, does nothing.
void offer_again(const Variable& result, std::function<Tensor()> again);

using Pullback = std::function<Tensor(const Tensor& dy)>;  // d objective / d output -> d objective / d input
using Tangent = std::function<Tensor(const Tensor& dx)>;   // derivative of the output along dx: the pullback's adjoint

struct Input {
  Variable variable;
  Pullback pullback;
  Tangent tangent = {};  // without one the operation has no jvp(), and all else
};

// The result of an operation: its value, and for each input the pullback and the tangent. Those of an input that needs no
// gradient are dropped, and with them whatever they captured. A pullback must return its input's shape, a tangent the
// output's (checked when they run). `attributes` are whatever else the value depends on.
Variable record(const char* op, Tensor value, std::vector<Input> inputs, const Attributes& attributes = {});

// For operations whose gradients share work: one pullback that returns a gradient per input. `needed[i]` says whether
// input i wants one; where it does not, return an undefined Tensor. One tangent likewise: dx[i] is undefined where input i
// does not move; at least one does. dy is the pullback's own: it may be overwritten where nobody else holds it (storage_users()
// is 1) and it is contiguous or opaque.
using JointPullback = std::function<std::vector<Tensor>(Tensor dy, const std::vector<bool>& needed)>;
using JointTangent = std::function<Tensor(const std::vector<Tensor>& dx)>;
Variable record(const char* op, Tensor value, std::vector<Variable> inputs, JointPullback pullback, JointTangent tangent = {},
                const Attributes& attributes = {});

}  // namespace heft
