#include "autograd/linalg.h"

#include "autograd/elementwise.h"
#include "autograd/trace.h"
#include "core/ops.h"

namespace heft {
namespace {

// (..., K) -> (rows, K)
Tensor rows(const Tensor& x) { return x.reshape(Shape{x.shape().product(0, x.rank() - 1), x.size(-1)}); }

// relu(linear(...)), or without the relu.
Variable affine(const char* op, bool relu, const Variable& x, const Variable& weight, const Variable& bias) {
  const Tensor y = linear(x.value(), weight.value(), bias.defined() ? bias.value() : Tensor{}, relu);
  const Saved kept(weight.requires_grad() ? x.value() : Tensor{});
  const auto across = [y = Saved(relu ? y : Tensor{})](const Tensor& d) { return across_relu(y, d); };
  return record(
      op, y, {x, weight, bias},
      [=, x = kept, weight = Saved(weight.value()), shape = x.shape()](const Tensor& d, const std::vector<bool>& needed) {
        const Tensor dy = across(d);
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
      [=, x = kept, weight = Saved(weight.value()), shape = y.shape()](const std::vector<Tensor>& d) {
        if (!d[0].defined() && !d[1].defined()) return across(d[2].expand(shape));
        if (!d[0].defined()) return across(linear(x, d[1], d[2]));
        const Tensor along_x = linear(d[0], weight, d[2]);
        return across(d[1].defined() ? along_x + linear(x, d[1]) : along_x);
      });
}

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
  return affine("linear", false, x, weight, bias);
}

Variable linear_relu(const Variable& x, const Variable& weight, const Variable& bias) {
  // Whoever watches sees what it consists of, and knows those operations already.
  if (observed()) return relu(linear(x, weight, bias));
  return affine("linear_relu", true, x, weight, bias);
}

}  // namespace heft
