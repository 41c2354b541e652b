#include <atomic>
#include <chrono>
#include <map>

#include "autograd/diagnostics.h"
#include "autograd/node.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft {
namespace {

std::atomic<std::uint64_t> sweeps{0};

void add_to(Tensor& sum, const Tensor& term) { sum = sum.defined() ? sum + term : term; }

// A leaf's gradient has its value's layout, so that optimizers run flat over both.
void add_to_leaf(Variable::Impl& leaf, const Tensor& term) {
  Tensor grad = term;
  if (grad.layout() != leaf.value.layout() || (!grad.is_opaque() && !grad.is_contiguous()))
    grad = backend_for(leaf.value).to_layout(grad.contiguous(), leaf.value.layout());
  // The first gradient may be the caller's seed or shared with another input: sums are made out of place.
  add_to(leaf.grad, grad);
}

void check_pulled(const Node& node, const Edge& input, const Tensor& grad) {
  check<AutogradError>(grad.defined() && grad.shape() == input.shape(), node.op,
                       "expected its pullback to return a gradient of shape {}; got {}", input.shape(),
                       grad.defined() ? grad.shape().str() : "none");
  check<AutogradError>(grad.dtype() == input.dtype(), node.op, "expected its pullback to return a gradient of {}; got {}",
                       input.dtype(), grad.dtype());
  if (anomaly_mode())
    check<NumericError>(all_finite(grad), node.op,
                        "expected finite gradients; this operation's pullback made the first NaN or infinity, in shape {}",
                        grad.shape());
}

// Gradients of all inputs of one operation; then what it saved is dropped.
std::vector<Tensor> pull(Node& node, const Tensor& dy) {
  check<AutogradError>(!node.spent, node.op,
                       "expected a graph not yet swept; this one was freed by an earlier backward() (run the forward again)");
  node.spent = true;
  std::vector<Tensor> grads;
  const auto start = std::chrono::steady_clock::now();
  try {
    if (node.joint) {
      std::vector<bool> needed;
      for (const Edge& input : node.inputs) needed.push_back(input.needed());
      grads = node.joint(dy, needed);
      check<AutogradError>(grads.size() == needed.size(), node.op, "expected its pullback to return {} gradients; got {}",
                           needed.size(), grads.size());
    } else {
      for (const Pullback& pullback : node.pullbacks) grads.push_back(pullback(dy));
    }
  } catch (const AutogradError& error) {
    if (error.op() != "backward") throw;
    throw AutogradError(node.op,
                        std::string(error.what()).substr(std::size("[backward] ") - 1));  // a damaged saved tensor: say whose
  }
  if (profiling()) profile_backward(node.op, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  for (std::size_t i = 0; i < grads.size(); ++i)
    if (node.inputs[i].needed()) check_pulled(node, node.inputs[i], grads[i]);
  node.drop_saved();
  return grads;
}

}  // namespace

void Node::drop_saved() {
  pullbacks.clear();
  tangents.clear();
  joint = nullptr;
}

// A long chain would otherwise be destroyed by recursion as deep as the network. What was saved goes first: it may hold
// Variables, and with them the nodes that this one leads to.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> chain;
  const auto take = [&chain](Node& node) {
    node.drop_saved();
    for (Edge& input : node.inputs)
      if (input.node.use_count() == 1) chain.push_back(std::move(input.node));
    node.inputs.clear();
  };
  take(*this);
  while (!chain.empty()) {
    const std::shared_ptr<Node> node = std::move(chain.back());
    chain.pop_back();
    if (node.use_count() == 1) take(*node);
  }
}

std::uint64_t backward_count() { return sweeps; }

void backward(const Variable& root) {
  check<AutogradError>(root.defined(), "backward", "expected a defined variable; got an undefined one");
  check<AutogradError>(root.value().numel() == 1, "backward",
                       "expected a root of one element; got shape {} (pass a seed of that shape)", root.shape());
  backward(root, Tensor::ones(root.shape(), root.dtype(), root.device()));
}

void backward(const Variable& root, const Tensor& seed) {
  check<AutogradError>(root.requires_grad(), "backward",
                       "expected a root that depends on a variable with requires_grad; got {}",
                       root.defined() ? "a constant of shape " + root.shape().str() : "an undefined variable");
  check<ShapeError>(seed.defined() && seed.shape() == root.shape(), "backward", "expected a seed of shape {}; got {}",
                    root.shape(), seed.defined() ? seed.shape().str() : "an undefined tensor");
  check<DTypeError>(seed.dtype() == root.dtype(), "backward", "expected a seed of {}; got {}", root.dtype(), seed.dtype());
  check<DeviceError>(seed.device() == root.device(), "backward", "expected a seed on {}; got {}", root.device(), seed.device());
  ++sweeps;
  const NoGrad no_grad;

  // Nodes wait here with the sum of the gradients that have reached them; the youngest goes first, and nobody can add to
  // it any more, because whoever consumed its output is younger.
  std::map<std::uint64_t, std::pair<std::shared_ptr<Node>, Tensor>, std::greater<>> waiting;
  const auto send = [&waiting](const Edge& to, const Tensor& grad) {
    if (to.leaf) return add_to_leaf(*to.leaf, grad);
    auto& [node, sum] = waiting[to.node->order];
    node = to.node;
    add_to(sum, grad);
  };
  send(Edge(root), seed);
  while (!waiting.empty()) {
    auto [node, dy] = std::move(waiting.begin()->second);
    waiting.erase(waiting.begin());
    const std::vector<Tensor> grads = pull(*node, dy);
    dy = Tensor();
    for (std::size_t i = 0; i < grads.size(); ++i)
      if (node->inputs[i].needed()) send(node->inputs[i], grads[i]);
    node->inputs.clear();
  }
}

}  // namespace heft
