#include "layers/pool.h"

#include "autograd/images.h"
#include "autograd/shape_ops.h"
#include "core/check.h"

namespace heft {
namespace {

Pool2dGeometry checked(const Pool2dOptions& o, const char* op) {
  check(o.kernel.at_least(1), op, "expected kernel >= 1; got {}", o.kernel.str());
  const bool default_stride = o.stride == Extent2d(0);
  check(default_stride || o.stride.at_least(1), op, "expected stride >= 1 (or 0: the kernel); got {}", o.stride.str());
  check(o.padding.at_least(0) && 2 * o.padding.height <= o.kernel.height && 2 * o.padding.width <= o.kernel.width, op,
        "expected padding >= 0 and at most half of the kernel ({}); got {}", o.kernel.str(), o.padding.str());
  return {.kernel = o.kernel.array(), .stride = (default_stride ? o.kernel : o.stride).array(), .padding = o.padding.array()};
}

std::string described(const char* name, const Pool2dGeometry& g) {
  std::string text = fmt::format("{}({}x{}, stride {}x{}", name, g.kernel[0], g.kernel[1], g.stride[0], g.stride[1]);
  if (g.padding[0] + g.padding[1] > 0) text += fmt::format(", padding {}x{}", g.padding[0], g.padding[1]);
  return text + ")";
}

}  // namespace

MaxPool2d::MaxPool2d(const Options& options) : geometry_(checked(options, "MaxPool2d")) {}
Variable MaxPool2d::forward(const Variable& x) { return max_pool2d(x, geometry_); }
std::string MaxPool2d::describe() const { return described("MaxPool2d", geometry_); }

AvgPool2d::AvgPool2d(const Options& options) : geometry_(checked(options, "AvgPool2d")) {}
Variable AvgPool2d::forward(const Variable& x) { return avg_pool2d(x, geometry_); }
std::string AvgPool2d::describe() const { return described("AvgPool2d", geometry_); }

Variable GlobalAvgPool::forward(const Variable& x) { return flatten(global_avg_pool2d(x)); }

}  // namespace heft
