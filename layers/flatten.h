// (N, ...) -> (N, everything else).
#pragma once

#include "autograd/shape_ops.h"
#include "layers/module.h"

namespace heft {

class Flatten : public Module {
 public:
  Variable forward(const Variable& x) override { return flatten(x); }
  std::string describe() const override { return "Flatten"; }
};

}  // namespace heft
