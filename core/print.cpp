#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

#include "core/check.h"
#include "core/tensor.h"

namespace heft {
namespace {

// Offsets of the elements that are printed: the first and last `edge` of a long axis.
void collect(const Shape& shape, int axis, std::int64_t offset, int edge, std::vector<std::int64_t>& shown) {
  if (axis == shape.rank()) return shown.push_back(offset);
  const std::int64_t n = shape[axis], step = shape.product(axis + 1, shape.rank());
  for (std::int64_t i = 0; i < n; ++i) {
    if (n > 2 * edge && i == edge) i = n - edge;
    collect(shape, axis + 1, offset + i * step, edge, shown);
  }
}

// One form for all, so that columns compare: "3." where all are whole, four decimals, or a power of ten where the
// largest or smallest would not show.
std::string_view form_of(const std::vector<double>& values) {
  bool whole = true;
  double largest = 0, smallest = std::numeric_limits<double>::infinity();
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    whole = whole && v == std::trunc(v);
    largest = std::max(largest, std::abs(v));
    if (v != 0) smallest = std::min(smallest, std::abs(v));
  }
  if (whole && largest < 1e7) return "{:.0f}.";
  return largest < 1e5 && smallest >= 1e-3 ? "{:.4f}" : "{:.4e}";
}

std::vector<std::string> cells(const Tensor& x, const std::vector<std::int64_t>& shown) {
  std::vector<std::string> texts;
  dispatch_all(x.dtype(), [&]<class T>() {
    const T* p = x.data<T>();
    if constexpr (std::is_same_v<T, bool>) {
      for (const std::int64_t i : shown) texts.push_back(p[i] ? "true" : "false");
    } else if constexpr (std::is_floating_point_v<T>) {
      std::vector<double> values;
      for (const std::int64_t i : shown) values.push_back(static_cast<double>(p[i]));
      const std::string_view form = form_of(values);
      for (const double v : values) texts.push_back(fmt::format(fmt::runtime(std::isfinite(v) ? form : "{}"), v));
    } else {
      for (const std::int64_t i : shown) texts.push_back(std::to_string(p[i]));
    }
  });
  return texts;
}

// Takes the cells in order, right-aligned; matrices of a higher rank are set apart by empty lines.
void print(std::string& out, const Shape& shape, int axis, int edge, std::vector<std::string>::const_iterator& cell,
           std::size_t width) {
  if (axis == shape.rank()) {
    out += fmt::format("{:>{}}", *cell++, width);
    return;
  }
  const int inner = shape.rank() - axis - 1;
  const std::string next = inner == 0 ? ", " : fmt::format(",{0:\n>{1}}{0:>{2}}", "", inner, axis + 1);
  out += '[';
  for (std::int64_t i = 0; i < shape[axis]; ++i) {
    if (i) out += next;
    if (shape[axis] > 2 * edge && i == edge) {
      out += "..." + next;
      i = shape[axis] - edge;
    }
    print(out, shape, axis + 1, edge, cell, width);
  }
  out += ']';
}

}  // namespace

std::string Tensor::str(int edge_items) const {
  if (!defined()) return "Tensor()";
  const Tensor x = contiguous().to(Device::cpu());
  const int edge = std::max(edge_items, 1);
  std::vector<std::int64_t> shown;
  collect(shape_, 0, 0, edge, shown);
  const std::vector<std::string> texts = cells(x, shown);
  std::size_t width = 0;
  for (const std::string& text : texts) width = std::max(width, text.size());
  std::string out;
  auto cell = texts.begin();
  print(out, shape_, 0, edge, cell, width);
  return fmt::format("{}\n{} {}{}", out, dtype_, shape_, device().is_cpu() ? "" : " on " + device().str());
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) { return out << tensor.str(); }

}  // namespace heft
