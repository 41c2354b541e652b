#include "autograd/linalg.h"

#include "core/ops.h"

namespace heft {
namespace {

// (..., K) -> (rows, K)
Tensor rows(const Tensor& x) { return x.reshape(Shape{x.shape().product(0, x.rank() - 1), x.size(-1)}); }

}  // namespace

Variable matmul(const Variable& a, const Variable& b) {
  return record(
      "matmul", matmul(a.value(), b.value()),
      {{a, [b = Saved(b.value()), shape = a.shape()](const Tensor& dy) { return sum_to(matmul(dy, b, false, true), shape); },
        [b = Saved(b.value())](const Tensor& d) { return matmul(d, b); }},
       {b, [a = Saved(a.value()), shape = b.shape()](const Tensor& dy) { return sum_to(matmul(a, dy, true, false), shape); },
        [a = Saved(a.value())](const Tensor& d) { return matmul(a, d); }}});
}

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  const Tensor y = linear(x.value(), weight.value(), bias.defined() ? bias.value() : Tensor{});
  return record("linear", y,
                {{x,
                  [weight = Saved(weight.value()), shape = x.shape()](const Tensor& dy) {
                    return matmul(rows(dy), weight).reshape(shape);
                  },
                  [weight = Saved(weight.value())](const Tensor& d) { return linear(d, weight); }},
                 {weight, [x = Saved(x.value())](const Tensor& dy) { return matmul(rows(dy), rows(x), true, false); },
                  [x = Saved(x.value())](const Tensor& d) { return linear(x, d); }},
                 {bias, [](const Tensor& dy) { return sum(rows(dy), {0}); },
                  [shape = y.shape()](const Tensor& d) { return d.expand(shape); }}});
}

}  // namespace heft
