#include "core/parallel.h"
#include "core/reference/loops.h"
#include "core/reference/reference_backend.h"

namespace heft {

// Transposed operands are copied into order first: the copy costs little beside the product, and there is one loop.
Tensor ReferenceBackend::matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const Tensor left = as_double(transpose_a ? plain(a).transpose() : a);
  const Tensor right = as_double(transpose_b ? plain(b).transpose() : b);
  const std::int64_t batch = std::max(left.size(0), right.size(0)), m = left.size(1), k = left.size(2), n = right.size(2);
  const std::int64_t right_step = right.size(0) == 1 ? 0 : k * n;
  const bool one_left = left.size(0) == 1;
  Tensor result = Tensor::zeros(Shape{batch, m, n}, DType::f64);
  const double *pa = left.data<double>(), *pb = right.data<double>();
  double* py = result.mutable_data<double>();
  parallel_for(batch * m, reference::grain(n * k), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      reference::add_scaled_rows(py + row * n, n, pa + (one_left ? row % m : row) * k, pb + row / m * right_step, k,
                                 [n](std::int64_t i) { return i * n; });
  });
  return as(result, a.dtype());
}

}  // namespace heft
