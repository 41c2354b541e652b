// The scalar formulas of every elementwise operation, once, for every backend. To add one: write the struct, put its
// name in the list below, give it a public name in autograd/elementwise.h and a row in tests/op_table.h.
//
// A functor is an aggregate of at most two doubles (its parameters). Unary: forward(x) and backward(x, y, dy), where
// y = forward(x) and the result is dy * f'(x); because the derivative is diagonal, backward(x, y, dx) is also the
// tangent. Binary: forward(a, b), backward_a(a, b, y, dy), backward_b(a, b, y, dy).
// `keeps_zero`: f(0) == 0 and f'(x) finite, so that padding in a blocked layout stays zero.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#if defined(__CUDACC__)
#define HEFT_HD __host__ __device__
#else
#define HEFT_HD
#endif

namespace heft::fn {

template <class... Fs>
struct List {
  static constexpr int size = sizeof...(Fs);
};

// Position of F in the list: the number by which an operation passes through Backend's virtual functions.
template <class F, class L>
struct IndexOf;
template <class F, class... Rest>
struct IndexOf<F, List<F, Rest...>> {
  static constexpr int value = 0;
};
template <class F, class G, class... Rest>
struct IndexOf<F, List<G, Rest...>> {
  static constexpr int value = 1 + IndexOf<F, List<Rest...>>::value;
};

template <class F>
constexpr bool keeps_zero() {
  if constexpr (requires { F::keeps_zero; }) return F::keeps_zero;
  else return false;
}

// ---------------------------------------------------------------------------------------------------- unary

struct Neg {
  static constexpr const char* name = "neg";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T x) const {
    return -x;
  }
  template <class T>
  HEFT_HD T backward(T, T, T dy) const {
    return -dy;
  }
};
struct Exp {
  static constexpr const char* name = "exp";
  template <class T>
  HEFT_HD T forward(T x) const {
    return std::exp(x);
  }
  template <class T>
  HEFT_HD T backward(T, T y, T dy) const {
    return dy * y;
  }
};
struct Expm1 {  // e^x - 1 without cancellation
  static constexpr const char* name = "expm1";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T x) const {
    return std::expm1(x);
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    return dy * std::exp(x);
  }
};
struct Log {
  static constexpr const char* name = "log";
  template <class T>
  HEFT_HD T forward(T x) const {
    return std::log(x);
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    return dy / x;
  }
};
struct Log1p {
  static constexpr const char* name = "log1p";
  template <class T>
  HEFT_HD T forward(T x) const {
    return std::log1p(x);
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    return dy / (T(1) + x);
  }
};
struct Sqrt {
  static constexpr const char* name = "sqrt";
  template <class T>
  HEFT_HD T forward(T x) const {
    return std::sqrt(x);
  }
  template <class T>
  HEFT_HD T backward(T, T y, T dy) const {
    return dy / (T(2) * y);
  }
};
struct Abs {  // derivative 0 at 0, as in PyTorch
  static constexpr const char* name = "abs";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T x) const {
    return x < T(0) ? -x : x;
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    return x > T(0) ? dy : x < T(0) ? -dy : T(0);
  }
};
struct Relu {  // a NaN passes through, so that a broken run is seen
  static constexpr const char* name = "relu";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T x) const {
    return x < T(0) ? T(0) : x;
  }
  template <class T>
  HEFT_HD T backward(T, T y, T dy) const {
    return y > T(0) ? dy : T(0);
  }
};
struct LeakyRelu {
  static constexpr const char* name = "leaky_relu";
  static constexpr bool keeps_zero = true;
  double slope = 0.01;
  template <class T>
  HEFT_HD T forward(T x) const {
    return x < T(0) ? T(slope) * x : x;
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    return x > T(0) ? dy : T(slope) * dy;
  }
};
struct Gelu {  // x Phi(x), the exact form
  static constexpr const char* name = "gelu";
  template <class T>
  HEFT_HD T forward(T x) const {
    return T(0.5) * x * (T(1) + std::erf(x * T(0.70710678118654752)));
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    const T cdf = T(0.5) * (T(1) + std::erf(x * T(0.70710678118654752)));
    const T density = T(0.39894228040143268) * std::exp(T(-0.5) * x * x);
    return dy * (cdf + x * density);
  }
};
struct Sigmoid {  // exp of a non-positive number only: no overflow
  static constexpr const char* name = "sigmoid";
  template <class T>
  HEFT_HD T forward(T x) const {
    const T e = std::exp(x < T(0) ? x : -x);
    return x < T(0) ? e / (T(1) + e) : T(1) / (T(1) + e);
  }
  template <class T>
  HEFT_HD T backward(T, T y, T dy) const {
    return dy * y * (T(1) - y);
  }
};
struct Silu {  // x sigmoid(x)
  static constexpr const char* name = "silu";
  template <class T>
  HEFT_HD T forward(T x) const {
    return x * Sigmoid{}.forward(x);
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    const T s = Sigmoid{}.forward(x);
    return dy * s * (T(1) + x * (T(1) - s));
  }
};
struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T x) const {
    return std::tanh(x);
  }
  template <class T>
  HEFT_HD T backward(T, T y, T dy) const {
    return dy * (T(1) - y * y);
  }
};
struct Softplus {  // log(1 + e^x) without overflow
  static constexpr const char* name = "softplus";
  template <class T>
  HEFT_HD T forward(T x) const {
    return (x > T(0) ? x : T(0)) + std::log1p(std::exp(x > T(0) ? -x : x));
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    return dy * Sigmoid{}.forward(x);
  }
};
struct Clamp {  // derivative 1 inside and on the bounds, 0 outside
  static constexpr const char* name = "clamp";
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  template <class T>
  HEFT_HD T forward(T x) const {
    return x < T(low) ? T(low) : x > T(high) ? T(high) : x;
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    return x >= T(low) && x <= T(high) ? dy : T(0);
  }
};
struct AddScalar {
  static constexpr const char* name = "add_scalar";
  double c = 0;
  template <class T>
  HEFT_HD T forward(T x) const {
    return x + T(c);
  }
  template <class T>
  HEFT_HD T backward(T, T, T dy) const {
    return dy;
  }
};
struct MulScalar {
  static constexpr const char* name = "mul_scalar";
  static constexpr bool keeps_zero = true;
  double c = 1;
  template <class T>
  HEFT_HD T forward(T x) const {
    return x * T(c);
  }
  template <class T>
  HEFT_HD T backward(T, T, T dy) const {
    return dy * T(c);
  }
};
struct PowScalar {
  static constexpr const char* name = "pow_scalar";
  double exponent = 1;
  template <class T>
  HEFT_HD T forward(T x) const {
    return std::pow(x, T(exponent));
  }
  template <class T>
  HEFT_HD T backward(T x, T, T dy) const {
    return exponent == 0 ? T(0) : dy * T(exponent) * std::pow(x, T(exponent - 1));
  }
};

using Unary = List<Neg, Exp, Expm1, Log, Log1p, Sqrt, Abs, Relu, LeakyRelu, Gelu, Sigmoid, Silu, Tanh, Softplus, Clamp,
                   AddScalar, MulScalar, PowScalar>;

// ---------------------------------------------------------------------------------------------------- binary

struct Add {
  static constexpr const char* name = "add";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T a, T b) const {
    return a + b;
  }
  template <class T>
  HEFT_HD T backward_a(T, T, T, T dy) const {
    return dy;
  }
  template <class T>
  HEFT_HD T backward_b(T, T, T, T dy) const {
    return dy;
  }
};
struct Sub {
  static constexpr const char* name = "sub";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T a, T b) const {
    return a - b;
  }
  template <class T>
  HEFT_HD T backward_a(T, T, T, T dy) const {
    return dy;
  }
  template <class T>
  HEFT_HD T backward_b(T, T, T, T dy) const {
    return -dy;
  }
};
struct Mul {
  static constexpr const char* name = "mul";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T a, T b) const {
    return a * b;
  }
  template <class T>
  HEFT_HD T backward_a(T, T b, T, T dy) const {
    return dy * b;
  }
  template <class T>
  HEFT_HD T backward_b(T a, T, T, T dy) const {
    return dy * a;
  }
};
struct Div {
  static constexpr const char* name = "div";
  template <class T>
  HEFT_HD T forward(T a, T b) const {
    return a / b;
  }
  template <class T>
  HEFT_HD T backward_a(T, T b, T, T dy) const {
    return dy / b;
  }
  template <class T>
  HEFT_HD T backward_b(T, T b, T y, T dy) const {
    return -dy * y / b;
  }
};
struct Pow {
  static constexpr const char* name = "pow";
  template <class T>
  HEFT_HD T forward(T a, T b) const {
    return static_cast<T>(std::pow(a, b));
  }
  template <class T>
  HEFT_HD T backward_a(T a, T b, T, T dy) const {
    return b == T(0) ? T(0) : static_cast<T>(dy * b * std::pow(a, b - T(1)));
  }
  template <class T>
  HEFT_HD T backward_b(T a, T, T y, T dy) const {
    return a == T(0) ? T(0) : static_cast<T>(dy * y * std::log(a));
  }
};
// A tie gives each side half of the gradient, as in PyTorch; a NaN on either side is the result.
struct Maximum {
  static constexpr const char* name = "max";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T a, T b) const {
    return a != a ? a : b != b ? b : a > b ? a : b;
  }
  template <class T>
  HEFT_HD T backward_a(T a, T b, T, T dy) const {
    return a > b ? dy : a == b ? dy / T(2) : T(0);
  }
  template <class T>
  HEFT_HD T backward_b(T a, T b, T, T dy) const {
    return b > a ? dy : a == b ? dy / T(2) : T(0);
  }
};
struct Minimum {
  static constexpr const char* name = "min";
  static constexpr bool keeps_zero = true;
  template <class T>
  HEFT_HD T forward(T a, T b) const {
    return a != a ? a : b != b ? b : a < b ? a : b;
  }
  template <class T>
  HEFT_HD T backward_a(T a, T b, T, T dy) const {
    return a < b ? dy : a == b ? dy / T(2) : T(0);
  }
  template <class T>
  HEFT_HD T backward_b(T a, T b, T, T dy) const {
    return b < a ? dy : a == b ? dy / T(2) : T(0);
  }
};

using Binary = List<Add, Sub, Mul, Div, Pow, Maximum, Minimum>;

// ---------------------------------------------------------------------------------------------------- comparison

struct Equal {
  static constexpr const char* name = "equal";
  template <class T>
  HEFT_HD bool forward(T a, T b) const {
    return a == b;
  }
};
struct NotEqual {
  static constexpr const char* name = "not_equal";
  template <class T>
  HEFT_HD bool forward(T a, T b) const {
    return a != b;
  }
};
struct Less {
  static constexpr const char* name = "less";
  template <class T>
  HEFT_HD bool forward(T a, T b) const {
    return a < b;
  }
};
struct LessEqual {
  static constexpr const char* name = "less_equal";
  template <class T>
  HEFT_HD bool forward(T a, T b) const {
    return a <= b;
  }
};
struct Greater {
  static constexpr const char* name = "greater";
  template <class T>
  HEFT_HD bool forward(T a, T b) const {
    return a > b;
  }
};
struct GreaterEqual {
  static constexpr const char* name = "greater_equal";
  template <class T>
  HEFT_HD bool forward(T a, T b) const {
    return a >= b;
  }
};

using Compare = List<Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual>;

}  // namespace heft::fn
