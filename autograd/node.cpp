#include "autograd/node.h"

#include "core/check.h"
#include "core/ops.h"

namespace heft {

void Node::drop_saved() {
  pullbacks.clear();
  tangents.clear();
  joint = nullptr;
  joint_tangent = nullptr;
  again = nullptr;
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

void add_to(Tensor& sum, const Tensor& term) { sum = sum.defined() ? sum + term : term; }

void check_unspent(const Node& node) {
  check<AutogradError>(!node.spent, node.op,
                       "expected a graph not yet swept; this one was freed by an earlier backward() (run the forward again)");
}

void check_returned(const Node& node, const char* rule, const char* what, const Tensor& got, const Shape& shape, DType dtype) {
  check<AutogradError>(got.defined() && got.shape() == shape, node.op, "expected its {} to return a {} of shape {}; got {}",
                       rule, what, shape, got.defined() ? got.shape().str() : "none");
  check<AutogradError>(got.dtype() == dtype, node.op, "expected its {} to return a {} of {}; got {}", rule, what, dtype,
                       got.dtype());
  if (anomaly_mode())
    check<NumericError>(all_finite(got), node.op,
                        "expected finite {}s; this operation's {} made the first NaN or infinity, in shape {}", what, rule,
                        shape);
}

void rethrow_as_of(const Node& node, const AutogradError& error) {
  if (error.op() != "backward") throw;
  throw AutogradError(node.op, std::string(error.what()).substr(std::size("[backward] ") - 1));
}

}  // namespace heft
