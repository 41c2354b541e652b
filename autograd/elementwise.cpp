#include "autograd/elementwise.h"

#include "core/check.h"
#include "core/ops.h"

namespace heft {
namespace {

// A derivative is diagonal, so the same function is pullback and tangent. It is computed from the output where that
// suffices, because the output lives on anyway as the next operation's input.
template <class F>
Variable from_output(const Variable& x, F f = {}) {
  const Tensor y = unary(x.value(), f);
  const auto derivative = [f, y = Saved(y)](const Tensor& d) { return unary_backward(y.get(), y.get(), d, f); };
  return record(F::name, y, {{x, derivative, derivative}});
}

template <class F>
Variable from_input(const Variable& x, F f = {}, const Attributes& attributes = {}) {
  const auto derivative = [f, x = Saved(x.value())](const Tensor& d) { return unary_backward(x.get(), x.get(), d, f); };
  return record(F::name, unary(x.value(), f), {{x, derivative, derivative}}, attributes);
}

template <class F>
Variable constant_slope(const Variable& x, F f = {}, const Attributes& attributes = {}) {
  const auto derivative = [f](const Tensor& d) { return unary_backward(d, d, d, f); };
  return record(F::name, unary(x.value(), f), {{x, derivative, derivative}}, attributes);
}

// `derivative(which, d)`, of the result's shape, is diagonal in operand `which` as it was broadcast.
template <class Derivative>
Variable from_both(const char* op, const Tensor& y, const Variable& a, const Variable& b, const Derivative& derivative) {
  const auto input = [&](int which, const Variable& x) -> Input {
    return {x, [=, shape = x.shape()](const Tensor& dy) { return sum_to(derivative(which, dy), shape); },
            [=, shape = y.shape()](const Tensor& dx) { return derivative(which, dx.expand(shape)); }};
  };
  return record(op, y, {input(0, a), input(1, b)});
}

// For functors whose derivatives read the operands but not the result: d stands in for it.
template <class F>
Variable from_operands(const Variable& a, const Variable& b) {
  return from_both(F::name, binary<F>(a.value(), b.value()), a, b,
                   [a = Saved(a.value()), b = Saved(b.value())](int which, const Tensor& d) {
                     return binary_backward<F>(which, a, b, d, d);
                   });
}

}  // namespace

Variable add(const Variable& a, const Variable& b) {
  const Tensor y = a.value() + b.value();
  const auto spread = [shape = y.shape()](const Tensor& d) { return d.expand(shape); };
  return record("add", y,
                {{a, [shape = a.shape()](const Tensor& dy) { return sum_to(dy, shape); }, spread},
                 {b, [shape = b.shape()](const Tensor& dy) { return sum_to(dy, shape); }, spread}});
}

Variable sub(const Variable& a, const Variable& b) {
  const Tensor y = a.value() - b.value();
  return record("sub", y,
                {{a, [shape = a.shape()](const Tensor& dy) { return sum_to(dy, shape); },
                  [shape = y.shape()](const Tensor& d) { return d.expand(shape); }},
                 {b, [shape = b.shape()](const Tensor& dy) { return -sum_to(dy, shape); },
                  [shape = y.shape()](const Tensor& d) { return (-d).expand(shape); }}});
}

Variable mul(const Variable& a, const Variable& b) {
  return record("mul", a.value() * b.value(),
                {{a, [b = Saved(b.value()), shape = a.shape()](const Tensor& dy) { return sum_to(dy * b, shape); },
                  [b = Saved(b.value())](const Tensor& d) { return d * b; }},
                 {b, [a = Saved(a.value()), shape = b.shape()](const Tensor& dy) { return sum_to(dy * a, shape); },
                  [a = Saved(a.value())](const Tensor& d) { return a * d; }}});
}

Variable div(const Variable& a, const Variable& b) {
  const Tensor y = a.value() / b.value();
  return record(
      "div", y,
      {{a, [b = Saved(b.value()), shape = a.shape()](const Tensor& dy) { return sum_to(dy / b, shape); },
        [b = Saved(b.value())](const Tensor& d) { return d / b; }},
       {b, [b = Saved(b.value()), y = Saved(y), shape = b.shape()](const Tensor& dy) { return sum_to(-(dy * y / b), shape); },
        [b = Saved(b.value()), y = Saved(y)](const Tensor& d) { return -(d * y / b); }}});
}

Variable pow(const Variable& a, const Variable& b) {
  const Tensor y = binary<fn::Pow>(a.value(), b.value());
  return from_both("pow", y, a, b, [a = Saved(a.value()), b = Saved(b.value()), y = Saved(y)](int which, const Tensor& d) {
    return binary_backward<fn::Pow>(which, a, b, y, d);
  });
}

Variable maximum(const Variable& a, const Variable& b) { return from_operands<fn::Maximum>(a, b); }
Variable minimum(const Variable& a, const Variable& b) { return from_operands<fn::Minimum>(a, b); }

// No gradient where the other one was taken: a zero in its place.
Variable where(const Tensor& condition, const Variable& a, const Variable& b) {
  const Tensor y = where(condition, a.value(), b.value());
  const auto either = [condition = Saved(condition)](bool first, const Tensor& d) {
    const Tensor zero = Tensor::zeros(Shape{}, d.dtype(), d.device());
    return first ? where(condition, d, zero) : where(condition, zero, d);
  };
  const auto input = [&](bool first, const Variable& x) -> Input {
    return {x, [=, shape = x.shape()](const Tensor& dy) { return sum_to(either(first, dy), shape); },
            [=, shape = y.shape()](const Tensor& dx) { return either(first, dx).expand(shape); }};
  };
  return record("where", y, {input(true, a), input(false, b)});
}

Variable neg(const Variable& x) { return constant_slope<fn::Neg>(x); }
Variable exp(const Variable& x) { return from_output<fn::Exp>(x); }
Variable expm1(const Variable& x) { return from_input<fn::Expm1>(x); }
Variable log(const Variable& x) { return from_input<fn::Log>(x); }
Variable log1p(const Variable& x) { return from_input<fn::Log1p>(x); }
Variable sqrt(const Variable& x) { return from_output<fn::Sqrt>(x); }
Variable abs(const Variable& x) { return from_input<fn::Abs>(x); }
Variable relu(const Variable& x) { return from_output<fn::Relu>(x); }
Variable leaky_relu(const Variable& x, double slope) { return from_input(x, fn::LeakyRelu{slope}, {{"slope", slope}}); }
Variable gelu(const Variable& x) { return from_input<fn::Gelu>(x); }
Variable silu(const Variable& x) { return from_input<fn::Silu>(x); }
Variable sigmoid(const Variable& x) { return from_output<fn::Sigmoid>(x); }
Variable tanh(const Variable& x) { return from_output<fn::Tanh>(x); }
Variable softplus(const Variable& x) { return from_input<fn::Softplus>(x); }

Variable clamp(const Variable& x, double low, double high) {
  check(low <= high, "clamp", "expected low <= high; got {} and {}", low, high);
  return from_input(x, fn::Clamp{low, high}, {{"low", low}, {"high", high}});
}

Variable pow(const Variable& x, double exponent) { return from_input(x, fn::PowScalar{exponent}, {{"exponent", exponent}}); }
Variable add(const Variable& x, double c) { return constant_slope(x, fn::AddScalar{c}, {{"constant", c}}); }
Variable mul(const Variable& x, double c) { return constant_slope(x, fn::MulScalar{c}, {{"constant", c}}); }

}  // namespace heft
