#include "autograd/jvp.h"

#include <atomic>
#include <map>
#include <unordered_map>

#include "autograd/node.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft {
namespace {

constexpr const char* kOp = "jvp";

std::atomic<std::uint64_t> passes{0};

using LeafTangents = std::unordered_map<const Variable::Impl*, Tensor>;

LeafTangents checked(const std::vector<std::pair<Variable, Tensor>>& tangents) {
  LeafTangents result;
  for (const auto& [leaf, tangent] : tangents) {
    check<AutogradError>(leaf.is_leaf() && leaf.requires_grad(), kOp,
                         "expected tangents of leaves that require a gradient; got one of {}",
                         !leaf.defined()   ? "an undefined variable"
                         : !leaf.is_leaf() ? "the result of an operation, of shape " + leaf.shape().str()
                                           : "a constant of shape " + leaf.shape().str());
    check<ShapeError>(tangent.defined() && tangent.shape() == leaf.shape(), kOp, "expected a tangent of shape {}; got {}",
                      leaf.shape(), tangent.defined() ? tangent.shape().str() : "an undefined tensor");
    check<DTypeError>(tangent.dtype() == leaf.dtype(), kOp, "expected a tangent of {}; got {}", leaf.dtype(), tangent.dtype());
    check<DeviceError>(tangent.device() == leaf.device(), kOp, "expected a tangent on {}; got {}", leaf.device(),
                       tangent.device());
    check<AutogradError>(result.emplace(leaf.impl().get(), tangent).second, kOp,
                         "expected each leaf once; one of shape {} comes again", leaf.shape());
  }
  return result;
}

// An operation on the way to the output, and how its result moves: undefined where it does not.
struct Station {
  const Node* node = nullptr;
  int readers = 0;  // edges from stations not yet passed
  Tensor tangent;
};
using Route = std::map<std::uint64_t, Station>;  // by creation: whoever reads a result is younger

Route route_to(const Node& last) {
  Route route;
  std::vector<const Node*> open = {&last};
  route[last.order].node = &last;
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    check_unspent(*node);
    for (const Edge& input : node->inputs) {
      if (!input.node) continue;
      Station& station = route[input.node->order];
      ++station.readers;
      if (station.node) continue;
      station.node = input.node.get();
      open.push_back(station.node);
    }
  }
  return route;
}

Tensor push(const Node& node, const std::vector<Tensor>& dx) {
  const auto rule = [&node](const auto& tangent) -> const auto& {
    check<AutogradError>(
        static_cast<bool>(tangent), node.op,
        "expected a tangent beside its pullback; this operation was recorded without one, so that jvp() cannot "
        "pass it");
    return tangent;
  };
  Tensor dy;
  run_rule(node, [&] {
    if (node.joint) {
      dy = rule(node.joint_tangent)(dx);
    } else {
      for (std::size_t i = 0; i < dx.size(); ++i)
        if (dx[i].defined()) add_to(dy, rule(node.tangents[i])(dx[i]));
    }
  });
  check_returned(node, "tangent", "derivative", dy, node.shape, node.dtype);
  return dy;
}

}  // namespace

Tensor jvp(const Variable& output, const std::vector<std::pair<Variable, Tensor>>& tangents) {
  check<AutogradError>(output.requires_grad(), kOp, "expected an output that depends on a variable with requires_grad; got {}",
                       output.defined() ? "a constant of shape " + output.shape().str() : "an undefined variable");
  const LeafTangents leaves = checked(tangents);
  ++passes;
  const NoGrad no_grad;
  const auto of_leaf = [&leaves](const Variable::Impl* leaf) {
    const auto found = leaves.find(leaf);
    return found != leaves.end() ? found->second : Tensor();
  };
  Tensor result;
  if (const Edge end(output); end.leaf) {
    result = of_leaf(end.leaf.get());
  } else {
    Route route = route_to(*end.node);
    for (auto& [order, station] : route) {
      std::vector<Tensor> dx;
      bool moves = false;
      for (const Edge& input : station.node->inputs) {
        if (input.node) {
          Station& before = route.at(input.node->order);
          dx.push_back(before.tangent);
          if (--before.readers == 0) before.tangent = Tensor();
        } else {
          dx.push_back(of_leaf(input.leaf.get()));
        }
        moves = moves || dx.back().defined();
      }
      if (moves) station.tangent = push(*station.node, dx);
    }
    result = route.rbegin()->second.tangent;
  }
  return result.defined() ? result : Tensor::zeros(output.shape(), output.dtype(), output.device());
}

std::uint64_t jvp_count() { return passes; }

}  // namespace heft
