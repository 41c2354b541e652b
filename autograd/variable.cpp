#include "autograd/variable.h"

#include <atomic>

#include "autograd/diagnostics.h"
#include "autograd/node.h"
#include "autograd/trace.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft {
namespace {

thread_local bool recording = true;
std::atomic<std::uint64_t> node_order{0};

std::string label(const Variable& v) {
  return v.name().empty() ? "a variable of shape " + v.shape().str() : "'" + v.name() + "' of shape " + v.shape().str();
}

}  // namespace

Variable::Variable(Tensor value) : Variable(std::move(value), false) {}

Variable::Variable(Tensor value, bool requires_grad) : impl_(std::make_shared<Impl>()) {
  check(value.defined(), "variable", "expected a defined tensor; got an undefined one");
  impl_->value = std::move(value);
  set_requires_grad(requires_grad);
}

const Tensor& Variable::value() const {
  check<AutogradError>(defined(), "variable", "expected a defined variable; got an undefined one");
  return impl_->value;
}

bool Variable::requires_grad() const { return defined() && impl_->requires_grad; }
bool Variable::is_leaf() const { return !defined() || !impl_->node; }

void Variable::set_requires_grad(bool requires_grad) {
  check<AutogradError>(is_leaf(), "set_requires_grad", "expected a leaf; got the result of an operation (use detach())");
  check<DTypeError>(!requires_grad || is_floating(dtype()), "set_requires_grad", "expected f32 or f64; got {}", dtype());
  impl_->requires_grad = requires_grad;
}

const Tensor& Variable::grad() const {
  check<AutogradError>(has_grad(), "grad", "expected a gradient; {} has none (call backward() on something computed from it)",
                       defined() ? label(*this) : "an undefined variable");
  return impl_->grad;
}

bool Variable::has_grad() const { return defined() && impl_->grad.defined(); }

void Variable::set_grad(Tensor grad) {
  check<ShapeError>(grad.shape() == shape(), "set_grad", "expected a gradient of shape {}; got {}", shape(), grad.shape());
  check<DTypeError>(grad.dtype() == dtype(), "set_grad", "expected a gradient of {}; got {}", dtype(), grad.dtype());
  impl_->grad = std::move(grad);
}

void Variable::zero_grad() {
  if (defined()) impl_->grad = Tensor();
}

void Variable::set_value(Tensor value) {
  check<AutogradError>(defined() && is_leaf(), "set_value", "expected a leaf; got the result of an operation");
  check<ShapeError>(value.shape() == shape(), "set_value", "expected shape {} for {}; got {}", shape(), label(*this),
                    value.shape());
  if (value.dtype() != dtype() || value.device() != device()) zero_grad();
  impl_->value = std::move(value);
}

void Variable::set_layout_of_value(Tensor same_value) {
  set_value(std::move(same_value));
  if (has_grad() && impl_->grad.layout() != value().layout())
    impl_->grad = backend_for(value()).to_layout(impl_->grad.contiguous(), value().layout());
}

Variable Variable::detach() const { return Variable(value()); }

const std::string& Variable::name() const {
  static const std::string none;
  return defined() ? impl_->name : none;
}
void Variable::set_name(std::string name) {
  check<AutogradError>(defined(), "set_name", "expected a defined variable; got an undefined one");
  impl_->name = std::move(name);
}

NoGrad::NoGrad() : previous_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = previous_; }
bool grad_enabled() { return recording; }

const Tensor& Saved::get() const {
  if (tensor_.defined())
    check<AutogradError>(
        tensor_.version() == version_, "backward",
        "expected a saved tensor of shape {} as it was; it was changed in place {} time(s) since (clone() it first)",
        tensor_.shape(), tensor_.version() - version_);
  return tensor_;
}

SavedInput::SavedInput(const Variable& input) : value_(Tensor{}) {
  if (!input.defined() || !grad_enabled()) return;
  version_ = input.value().version();
  if (!input.is_leaf() && input.impl()->node->again_version == version_) again_ = input.impl()->node->again;
  if (again_) input_ = input.impl();
  else value_ = input.value();
}

Tensor SavedInput::get() const {
  if (!again_) return value_.get();
  if (const auto input = input_.lock(); input && input->value.version() == version_) return input->value;
  return again_();
}

void offer_again(const Variable& result, std::function<Tensor()> again) {
  if (result.is_leaf()) return;
  result.impl()->node->again = std::move(again);
  result.impl()->node->again_version = result.value().version();
}

namespace {

// Everything both forms of record share. `wanted` is filled with which inputs need a gradient.
Variable result_of(const char* op, Tensor value) {
  if (profiling()) profile_forward(op, static_cast<std::size_t>(value.buffer_elements()) * size_of(value.dtype()));
  if (anomaly_mode() && is_floating(value.dtype()))
    check<NumericError>(all_finite(value), op,
                        "expected finite results; this operation made the first NaN or infinity, in shape {}", value.shape());
  return Variable(std::move(value));
}

std::shared_ptr<Node> attach(const char* op, Variable& result) {
  auto node = std::make_shared<Node>();
  node->op = op;
  node->order = ++node_order;
  node->shape = result.shape();
  node->dtype = result.dtype();
  result.impl()->node = node;
  result.impl()->requires_grad = true;
  return node;
}

}  // namespace

Variable record(const char* op, Tensor value, std::vector<Input> inputs, const Attributes& attributes) {
  Variable result = result_of(op, std::move(value));
  if (observed()) {
    std::vector<Variable> variables;
    for (const Input& input : inputs) variables.push_back(input.variable);
    observe({op, variables, attributes, result});
  }
  bool any = false;
  for (const Input& input : inputs) any = any || input.variable.requires_grad();
  if (!any || !recording) return result;
  const std::shared_ptr<Node> node = attach(op, result);
  for (Input& input : inputs) {
    if (!input.variable.requires_grad()) continue;
    node->inputs.emplace_back(input.variable);
    node->pullbacks.push_back(std::move(input.pullback));
    node->tangents.push_back(std::move(input.tangent));
  }
  return result;
}

Variable record(const char* op, Tensor value, std::vector<Variable> inputs, JointPullback pullback, JointTangent tangent,
                const Attributes& attributes) {
  Variable result = result_of(op, std::move(value));
  if (observed()) observe({op, inputs, attributes, result});
  bool any = false;
  for (const Variable& input : inputs) any = any || input.requires_grad();
  if (!any || !recording) return result;
  const std::shared_ptr<Node> node = attach(op, result);
  for (const Variable& input : inputs) node->inputs.emplace_back(input);
  node->joint = std::move(pullback);
  node->joint_tangent = std::move(tangent);
  return result;
}

}  // namespace heft
