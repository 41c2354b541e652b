// Watching operations run, for whoever writes a network down for another program (train/onnx.h).
#pragma once

#include <functional>
#include <vector>

#include "autograd/attribute.h"
#include "autograd/variable.h"

namespace heft {

// One operation that has just run. It refers to what is there during the call only.
struct Operation {
  const char* op;                       // "conv2d"
  const std::vector<Variable>& inputs;  // as the operation takes them; undefined where it got none
  const Attributes& attributes;
  const Variable& result;
};

// While one lives, `see` is called on this thread with every operation, under NoGrad too, in the order in which they run.
// Functions of Variables that are written with others (adaptive_avg_pool2d) are seen as those. Tensor operations are not
// operations of Variables and are not seen.
class OperationObserver {
 public:
  using See = std::function<void(const Operation&)>;
  explicit OperationObserver(See see);
  ~OperationObserver();
  OperationObserver(const OperationObserver&) = delete;
  OperationObserver& operator=(const OperationObserver&) = delete;

 private:
  friend void observe(const Operation& operation);
  See see_;
  OperationObserver* outer_;
};

// For record(): whether anybody watches, and telling them all.
bool observed();
void observe(const Operation& operation);

}  // namespace heft
