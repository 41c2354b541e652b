// Compares gradients with finite differences: for the library's own operations and for a user's layers alike.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace heft {

struct GradientCheckOptions {
  double eps = 1e-6;   // half the step of the central difference
  double atol = 1e-5;  // |analytic - numeric| <= atol + rtol |numeric|
  double rtol = 1e-3;
  std::int64_t max_entries = 0;  // per input, sampled; 0: all
  int directions = 0;            // random directions of unit length through all inputs at once, besides entries
  std::uint64_t seed = 0;
};

struct GradientCheckReport {
  bool ok = true;            // every comparison holds, and at least half of the points could be compared
  std::int64_t checked = 0;  // entries and directions compared
  std::int64_t kinks = 0;    // points whose two one-sided differences disagree: another one nearby is taken instead
  std::int64_t skipped = 0;  // of these, where the others were on a kink too: not compared
  double worst = 0;          // largest |analytic - numeric| / (atol + rtol |numeric|); ok means <= 1
  std::string message;       // the worst disagreement: input, index, both numbers
};

// f is called with leaves of f64 that hold `inputs`' values; its result may have any shape (it is contracted with a fixed
// random tensor). f must be a pure function of its inputs. Throws DTypeError unless the inputs are f64.
GradientCheckReport check_gradients(const std::function<Variable(const std::vector<Variable>&)>& f,
                                    const std::vector<Tensor>& inputs, const GradientCheckOptions& options = {});

// The same for a whole network: f() computes a result of any shape from `parameters`, f64 leaves, which are nudged in
// place (and restored); gradients they hold are forgotten. Throws AutogradError where one requires no gradient.
GradientCheckReport check_gradients(const std::function<Variable()>& f, const std::vector<Variable>& parameters,
                                    const GradientCheckOptions& options = {});

}  // namespace heft
