#include "layers/dropout.h"

#include "autograd/norm.h"
#include "core/check.h"

namespace heft {

Dropout::Dropout(const Options& options) : p_(options.p) {
  check(options.p >= 0 && options.p < 1, "Dropout", "expected p in [0, 1); got {}", options.p);
}
Variable Dropout::forward(const Variable& x) { return dropout(x, p_, training()); }
std::string Dropout::describe() const { return fmt::format("Dropout({})", p_); }

}  // namespace heft
