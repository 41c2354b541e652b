#include <algorithm>
#include <ostream>

#include "core/check.h"
#include "core/tensor.h"

namespace heft {
namespace {

std::string element(const Tensor& x, std::int64_t i) {
  return dispatch_all(x.dtype(), [&]<class T>() {
    const T v = x.data<T>()[i];
    if constexpr (std::is_same_v<T, bool>) return std::string(v ? "true" : "false");
    else if constexpr (std::is_floating_point_v<T>) return fmt::format("{:.4g}", v);
    else return fmt::format("{}", static_cast<std::int64_t>(v));
  });
}

// Axis by axis, "..." in place of the middle of a long one.
void print(std::string& out, const Tensor& x, int axis, std::int64_t offset, int edge, std::size_t width) {
  if (axis == x.rank()) {
    out += fmt::format("{:>{}}", element(x, offset), width);
    return;
  }
  const std::int64_t n = x.shape()[axis], step = x.shape().product(axis + 1, x.rank());
  const bool innermost = axis + 1 == x.rank();
  const std::string separator = innermost ? ", " : ",\n" + std::string(static_cast<std::size_t>(axis + 1), ' ');
  out += '[';
  for (std::int64_t i = 0; i < n; ++i) {
    if (i) out += separator;
    if (n > 2 * edge && i == edge) {
      out += "..." + separator;
      i = n - edge;
    }
    print(out, x, axis + 1, offset + i * step, edge, width);
  }
  out += ']';
}

}  // namespace

std::string Tensor::str(int edge_items) const {
  if (!defined()) return "Tensor()";
  const Tensor x = contiguous().to(Device::cpu());
  std::size_t width = 0;
  const std::int64_t sampled = std::min<std::int64_t>(numel(), 1000);
  for (std::int64_t i = 0; i < sampled; ++i) width = std::max(width, element(x, i).size());
  std::string out;
  print(out, x, 0, 0, std::max(edge_items, 1), width);
  return fmt::format("{}\n{} {}{}", out, dtype_, shape_, device().is_cpu() ? "" : " on " + device().str());
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) { return out << tensor.str(); }

}  // namespace heft
