// Forward mode: directional derivatives of what was recorded.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "autograd/variable.h"

namespace heft {

// The derivative of `output` when each leaf moves along its tangent: sum over leaves of (d output / d leaf) tangent, of the
// output's shape, and zero where the output does not depend on them. One pass over the recorded operations, oldest first,
// about as much work as the forward pass. It changes nothing: the same graph can be passed again and then swept by
// backward(). For losses (N) and tangents v over all parameters, the entries are <gradient of loss i, v>: N per-sample
// gradients' products without the gradients.
//   const Tensor slopes = jvp(losses, {{weight, v}, {bias, u}});
// Throws ShapeError, DTypeError, DeviceError for a tangent unlike its leaf; AutogradError for what is no leaf that requires a
// gradient or comes twice, for an output that depends on none, for a graph that backward() has freed, where a saved value was
// changed in place, and for an operation without a tangent, naming it.
Tensor jvp(const Variable& output, const std::vector<std::pair<Variable, Tensor>>& tangents);
// Passes this process has made so far.
std::uint64_t jvp_count();

}  // namespace heft
