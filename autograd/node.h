// The recorded graph. Internal to autograd/.
#pragma once

#include <memory>
#include <string>
#include <vector>

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

// One operation. `pullbacks` (one per edge) or `joint` holds what was saved for the backward sweep, and is dropped as the
// sweep passes.
struct Node {
  const char* op = "";
  std::uint64_t order = 0;  // creation order: every input's node has a smaller one
  std::vector<Edge> inputs;
  std::vector<Pullback> pullbacks;
  std::vector<Tangent> tangents;
  JointPullback joint;
  Shape shape;  // of the output
  DType dtype = DType::f32;
  bool spent = false;

  void drop_saved();
  ~Node();
};

inline const Shape& Edge::shape() const { return node ? node->shape : leaf->value.shape(); }
inline DType Edge::dtype() const { return node ? node->dtype : leaf->value.dtype(); }

}  // namespace heft
