#include <atomic>
#include <map>

#include "autograd/node.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft {
namespace {

std::atomic<std::uint64_t> sweeps{0};

// A leaf's gradient has its value's layout, so that optimizers run flat over both.
void add_to_leaf(Variable::Impl& leaf, const Tensor& term) {
  Tensor grad = term;
  if (grad.layout() != leaf.value.layout() || (!grad.is_opaque() && !grad.is_contiguous()))
    grad = backend_for(leaf.value).to_layout(grad.contiguous(), leaf.value.layout());
  // The first gradient may be the caller's seed or shared with another input: sums are made out of place.
  add_to(leaf.grad, grad);
}

// Gradients of all inputs of one operation; then what it saved is dropped, unless the graph is kept.
std::vector<Tensor> pull(Node& node, Tensor dy, bool keep) {
  check_unspent(node);
  node.spent = !keep;
  std::vector<Tensor> grads;
  run_rule(node, [&] {
    if (node.joint) {
      std::vector<bool> needed;
      for (const Edge& input : node.inputs) needed.push_back(input.needed());
      grads = node.joint(std::move(dy), needed);
      check<AutogradError>(grads.size() == needed.size(), node.op, "expected its pullback to return {} gradients; got {}",
                           needed.size(), grads.size());
    } else {
      for (const Pullback& pullback : node.pullbacks) grads.push_back(pullback(dy));
    }
  });
  for (std::size_t i = 0; i < grads.size(); ++i)
    if (const Edge& input = node.inputs[i]; input.needed())
      check_returned(node, "pullback", "gradient", grads[i], input.shape(), input.dtype());
  if (!keep) node.drop_saved();
  return grads;
}

}  // namespace

std::uint64_t backward_count() { return sweeps; }

void backward(const Variable& root) {
  check<AutogradError>(root.defined(), "backward", "expected a defined variable; got an undefined one");
  check<AutogradError>(root.value().numel() == 1, "backward",
                       "expected a root of one element; got shape {} (pass a seed of that shape)", root.shape());
  backward(root, Tensor::ones(root.shape(), root.dtype(), root.device()));
}

void backward(const Variable& root, const Tensor& seed, const BackwardOptions& options) {
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
    const std::vector<Tensor> grads = pull(*node, std::move(dy), options.keep_graph);
    for (std::size_t i = 0; i < grads.size(); ++i)
      if (node->inputs[i].needed()) send(node->inputs[i], grads[i]);
    if (!options.keep_graph) node->inputs.clear();
  }
}

}  // namespace heft
