#include "core/tilt.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace heft::tilt {

double OneThread::median(std::int64_t n, const double* values) const {
  std::vector<double> above;
  std::copy_if(values, values + n, std::back_inserter(above), [](double v) { return v > -kInfinity; });
  if (above.empty()) return 0;
  const auto middle = above.begin() + static_cast<std::ptrdiff_t>((above.size() - 1) / 2);
  std::nth_element(above.begin(), middle, above.end());
  return *middle;
}

}  // namespace heft::tilt
