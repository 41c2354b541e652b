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
  const Saved kept(weight.requires_grad() ? x.value() : Tensor{});
  return record(
      "linear", y, {x, weight, bias},
      [x = kept, weight = Saved(weight.value()), shape = x.shape()](const Tensor& dy, const std::vector<bool>& needed) {
        std::vector<Tensor> grads(3);
        if (needed[0]) grads[0] = matmul(rows(dy), weight).reshape(shape);
        if (needed[1]) {
          const WeightGradients both = linear_backward_weight(dy, x, needed[2]);
          grads[1] = both.weight, grads[2] = both.bias;
        } else if (needed[2]) {
          grads[2] = sum(rows(dy), {0});
        }
        return grads;
      },
      // Linear in x and weight each; the bias rides along with the first of the two.
      [x = kept, weight = Saved(weight.value()), shape = y.shape()](const std::vector<Tensor>& d) {
        if (!d[0].defined() && !d[1].defined()) return d[2].expand(shape);
        if (!d[0].defined()) return linear(x, d[1], d[2]);
        const Tensor along_x = linear(d[0], weight, d[2]);
        return d[1].defined() ? along_x + linear(x, d[1]) : along_x;
      });
}

}  // namespace heft
