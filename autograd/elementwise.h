// Differentiable elementwise operations. Binary ones broadcast like NumPy; dtypes must agree.
// Formulas and derivatives: core/functors.h.
#pragma once

#include <limits>

#include "autograd/variable.h"

namespace heft {

Variable add(const Variable& a, const Variable& b);
Variable sub(const Variable& a, const Variable& b);
Variable mul(const Variable& a, const Variable& b);
Variable div(const Variable& a, const Variable& b);
Variable pow(const Variable& a, const Variable& b);
Variable maximum(const Variable& a, const Variable& b);  // a tie gives each side half of the gradient
Variable minimum(const Variable& a, const Variable& b);
// a where condition holds, b elsewhere; no gradient to the condition.
Variable where(const Tensor& condition, const Variable& a, const Variable& b);

Variable neg(const Variable& x);
Variable exp(const Variable& x);
Variable expm1(const Variable& x);
Variable log(const Variable& x);
Variable log1p(const Variable& x);
Variable sqrt(const Variable& x);
Variable abs(const Variable& x);
Variable relu(const Variable& x);
Variable leaky_relu(const Variable& x, double slope = 0.01);
Variable gelu(const Variable& x);
Variable silu(const Variable& x);
Variable sigmoid(const Variable& x);
Variable tanh(const Variable& x);
Variable softplus(const Variable& x);
// Throws ValueError unless low <= high.
Variable clamp(const Variable& x, double low = -std::numeric_limits<double>::infinity(),
               double high = std::numeric_limits<double>::infinity());
Variable pow(const Variable& x, double exponent);
Variable add(const Variable& x, double c);
Variable mul(const Variable& x, double c);

inline Variable operator+(const Variable& a, const Variable& b) { return add(a, b); }
inline Variable operator-(const Variable& a, const Variable& b) { return sub(a, b); }
inline Variable operator*(const Variable& a, const Variable& b) { return mul(a, b); }
inline Variable operator/(const Variable& a, const Variable& b) { return div(a, b); }
inline Variable operator+(const Variable& x, double c) { return add(x, c); }
inline Variable operator-(const Variable& x, double c) { return add(x, -c); }
inline Variable operator*(const Variable& x, double c) { return mul(x, c); }
inline Variable operator/(const Variable& x, double c) { return mul(x, 1 / c); }
inline Variable operator+(double c, const Variable& x) { return add(x, c); }
inline Variable operator-(double c, const Variable& x) { return add(neg(x), c); }
inline Variable operator*(double c, const Variable& x) { return mul(x, c); }
inline Variable operator-(const Variable& x) { return neg(x); }

}  // namespace heft
