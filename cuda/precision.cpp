#include <algorithm>
#include <atomic>

#include "core/check.h"
#include "cuda/cuda.h"

namespace heft::cuda {
namespace {

std::atomic<Precision> current_precision{Precision::tf32};

}  // namespace

const std::vector<std::string>& precision_names() {
  static const std::vector<std::string> names{"tf32", "f32", "bf16"};
  return names;
}

Precision precision_named(std::string_view name) {
  const auto& names = precision_names();
  const auto found = std::find(names.begin(), names.end(), name);
  check<ValueError>(found != names.end(), "cuda", "expected a precision of tf32, f32 or bf16; got '{}'", name);
  return static_cast<Precision>(found - names.begin());
}

void set_precision(Precision precision) { current_precision = precision; }
Precision precision() { return current_precision; }

}  // namespace heft::cuda
