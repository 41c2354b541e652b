// The recorded graph. Internal to autograd/.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "autograd/diagnostics.h"
#include "autograd/variable.h"

namespace heft {

struct Variable::Impl {
  Tensor value;
  Tensor grad;  // leaves only
  bool requires_grad = false;
  std::shared_ptr<Node> node;  // the operation that made it; null for a leaf
  std::string name;
};

// Where a gradient goes: to the operation that made an input, or to a leaf. Not to the Variable, which would keep alive a
// value that no pullback asked for. Both null: nowhere.
struct Edge {
  explicit Edge(const Variable& input) {
    if (!input.requires_grad()) return;
    if (input.impl()->node) node = input.impl()->node;
    else leaf = input.impl();
  }
  bool needed() const { return node || (leaf && leaf->requires_grad); }
  const Shape& shape() const;
  DType dtype() const;

  std::shared_ptr<Node> node;
  std::shared_ptr<Variable::Impl> leaf;
};

// One operation. `pullbacks` and `tangents` (one per edge), or `joint` and `joint_tangent`, hold what was saved, as `again`
// does; they are dropped as the backward sweep passes.
struct Node {
  const char* op = "";
  std::uint64_t order = 0;  // creation order: every input's node has a smaller one
  std::vector<Edge> inputs;
  std::vector<Pullback> pullbacks;
  std::vector<Tangent> tangents;
  JointPullback joint;
  JointTangent joint_tangent;
  std::function<Tensor()> again;  // makes the output as it was at this version of it, or empty (offer_again)
  std::uint64_t again_version = 0;
  Shape shape;  // of the output
  DType dtype = DType::f32;
  bool spent = false;

  void drop_saved();
  ~Node();
};

// What both sweeps share.
void add_to(Tensor& sum, const Tensor& term);
void check_unspent(const Node& node);
// That what a rule ("pullback") returned, a `what` ("gradient"), has this form, and in anomaly mode that it is finite.
void check_returned(const Node& node, const char* rule, const char* what, const Tensor& got, const Shape& shape, DType dtype);
[[noreturn]] void rethrow_as_of(const Node& node, const AutogradError& error);
// Runs pullbacks or tangents of the node: their time goes to the profile, and a saved tensor that was damaged is reported
// as this operation's.
template <class Rule>
void run_rule(const Node& node, const Rule& rule) {
  const auto start = std::chrono::steady_clock::now();
  try {
    rule();
  } catch (const AutogradError& error) {
    rethrow_as_of(node, error);
  }
  if (profiling()) profile_backward(node.op, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

inline const Shape& Edge::shape() const { return node ? node->shape : leaf->value.shape(); }
inline DType Edge::dtype() const { return node ? node->dtype : leaf->value.dtype(); }

}  // namespace heft
