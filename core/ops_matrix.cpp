#include "core/op_support.h"
#include "core/ops.h"

namespace heft {
namespace {

// (batch, rows, columns); a batch of 1 broadcasts in the backend, anything less regular is expanded here.
Tensor as_batches(const Tensor& x, const Shape& lead) {
  const std::int64_t rows = x.size(-2), columns = x.size(-1);
  if (x.numel() == rows * columns) return x.contiguous().reshape(Shape{1, rows, columns});
  std::vector<std::int64_t> full(lead.begin(), lead.end());
  full.insert(full.end(), {rows, columns});
  return x.expand(Shape(std::span<const std::int64_t>(full))).contiguous().reshape(Shape{lead.numel(), rows, columns});
}

Shape leading(const Shape& shape) {
  return Shape(std::span<const std::int64_t>(shape.begin(), static_cast<std::size_t>(shape.rank() - 2)));
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  check_operands("matmul", a, b);
  if (!is_floating(a.dtype())) throw_dtype("matmul", "f32 or f64", a.dtype());
  check<ShapeError>(a.rank() >= 2 && b.rank() >= 2, "matmul", "expected matrices or batches of them; got {} and {}", a.shape(),
                    b.shape());
  const std::int64_t m = a.size(transpose_a ? -1 : -2), k = a.size(transpose_a ? -2 : -1);
  const std::int64_t k2 = b.size(transpose_b ? -1 : -2), n = b.size(transpose_b ? -2 : -1);
  check<ShapeError>(k == k2, "matmul", "expected inner extents to agree; got {}{} and {}{}", a.shape(),
                    transpose_a ? " transposed" : "", b.shape(), transpose_b ? " transposed" : "");
  const Shape lead = broadcast(leading(a.shape()), leading(b.shape()), "matmul");
  std::vector<std::int64_t> shape(lead.begin(), lead.end());
  shape.insert(shape.end(), {m, n});
  const Shape result(std::span<const std::int64_t>(shape.data(), shape.size()));
  if (result.numel() == 0 || k == 0) return Tensor::zeros(result, a.dtype(), a.device());
  return Called("matmul", a)->matmul(as_batches(a, lead), as_batches(b, lead), transpose_a, transpose_b).reshape(result);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu) {
  check_operands("linear", x, weight);
  check<ShapeError>(weight.rank() == 2 && x.rank() >= 1 && x.size(-1) == weight.size(1), "linear",
                    "expected input with {} features (weight is {}), got {}", weight.rank() == 2 ? weight.size(1) : -1,
                    weight.shape(), x.shape());
  if (bias.defined()) {
    check_operands("linear", x, bias);
    check<ShapeError>(bias.shape() == Shape{weight.size(0)}, "linear", "expected a bias of shape ({},); got {}", weight.size(0),
                      bias.shape());
  }
  const std::int64_t k = weight.size(1), m = weight.size(0);
  const Tensor rows = x.contiguous().reshape(Shape{k == 0 ? x.shape().product(0, x.rank() - 1) : x.numel() / k, k});
  const Shape result = x.shape().with(x.rank() - 1, m);
  if (rows.numel() == 0) {
    const Tensor zeros = Tensor::zeros(result, x.dtype(), x.device());
    const Tensor y = bias.defined() ? zeros + bias : zeros;
    return relu ? unary<fn::Relu>(y) : y;
  }
  const Called backend("linear", x);
  const Tensor w = weight.contiguous(), b = bias.defined() ? bias.contiguous() : bias;
  return (relu ? backend->linear_relu(rows, w, b) : backend->linear(rows, w, b)).reshape(result);
}

WeightGradients linear_backward_weight(const Tensor& dy, const Tensor& x, bool want_bias) {
  check_operands("linear", dy, x);
  const std::int64_t m = dy.size(-1), k = x.size(-1), rows = dy.shape().product(0, dy.rank() - 1);
  check<ShapeError>(x.shape().product(0, x.rank() - 1) == rows, "linear", "expected as many rows in {} as in {}", dy.shape(),
                    x.shape());
  if (dy.numel() == 0 || x.numel() == 0)
    return {Tensor::zeros({m, k}, dy.dtype(), dy.device()), want_bias ? Tensor::zeros({m}, dy.dtype(), dy.device()) : Tensor{}};
  const auto matrix = [rows](const Tensor& t) { return t.contiguous().reshape(Shape{rows, t.size(-1)}); };
  return Called("linear", dy)->linear_backward_weight(matrix(dy), matrix(x), want_bias);
}

}  // namespace heft
