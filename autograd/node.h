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

// One operation. Inputs are kept alive as Variables; `pullbacks` (one per input, empty where no gradient is needed) or
// `joint` holds what was saved for the backward sweep, and is dropped as the sweep passes.
struct Node {
  const char* op = "";
  std::uint64_t order = 0;  // creation order: every input's node has a smaller one
  std::vector<Variable> inputs;
  std::vector<Pullback> pullbacks;
  std::vector<Tangent> tangents;
  JointPullback joint;
  Shape shape;  // of the output
  bool spent = false;

  ~Node();
};

}  // namespace heft
