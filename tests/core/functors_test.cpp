// Every functor against its formula in long double, and its derivative against the formula's central differences.
// A functor without a formula here does not compile.
#include "core/functors.h"

#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/ops.h"
#include "tests/catch_compat.h"

using namespace heft;

namespace {

using Real = long double;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

template <class... Fs, class V>
void for_each(fn::List<Fs...>, V visit) {
  (visit(Fs{}), ...);
}

// Parameters that a mix-up would show, exact in a float.
template <class F>
F example(F f) {
  return f;
}
fn::LeakyRelu example(fn::LeakyRelu) { return {0.25}; }
fn::Clamp example(fn::Clamp) { return {-1.25, 2.25}; }
fn::AddScalar example(fn::AddScalar) { return {0.75}; }
fn::MulScalar example(fn::MulScalar) { return {-1.5}; }
fn::PowScalar example(fn::PowScalar) { return {2.5}; }

Real formula(fn::Neg, Real x) { return 0 - x; }
Real formula(fn::Exp, Real x) { return std::exp(x); }
Real formula(fn::Expm1, Real x) { return std::expm1(x); }
Real formula(fn::Log, Real x) { return std::log(x); }
Real formula(fn::Log1p, Real x) { return std::log1p(x); }
Real formula(fn::Sqrt, Real x) { return std::sqrt(x); }
Real formula(fn::Abs, Real x) { return std::fabs(x); }
Real formula(fn::Relu, Real x) { return std::fmax(x, Real(0)); }
Real formula(fn::LeakyRelu f, Real x) { return std::fmax(x, Real(0)) + static_cast<Real>(f.slope) * std::fmin(x, Real(0)); }
Real formula(fn::Gelu, Real x) { return x / 2 * std::erfc(-x / std::sqrt(Real(2))); }
Real formula(fn::Sigmoid, Real x) { return 1 / (1 + std::exp(-x)); }
Real formula(fn::Silu, Real x) { return x / (1 + std::exp(-x)); }
Real formula(fn::Tanh, Real x) { return std::tanh(x); }
Real formula(fn::Softplus, Real x) { return x > 100 ? x : std::log1p(std::exp(x)); }
Real formula(fn::Clamp f, Real x) { return std::fmin(std::fmax(x, static_cast<Real>(f.low)), static_cast<Real>(f.high)); }
Real formula(fn::AddScalar f, Real x) { return x + static_cast<Real>(f.c); }
Real formula(fn::MulScalar f, Real x) { return x * static_cast<Real>(f.c); }
Real formula(fn::PowScalar f, Real x) { return std::pow(x, static_cast<Real>(f.exponent)); }

Real formula(fn::Add, Real a, Real b) { return a + b; }
Real formula(fn::Sub, Real a, Real b) { return a - b; }
Real formula(fn::Mul, Real a, Real b) { return a * b; }
Real formula(fn::Div, Real a, Real b) { return a / b; }
Real formula(fn::Pow, Real a, Real b) { return std::pow(a, b); }
Real formula(fn::Maximum, Real a, Real b) { return std::fmax(a, b); }
Real formula(fn::Minimum, Real a, Real b) { return std::fmin(a, b); }

template <class F>
std::vector<double> points() {
  std::vector<double> all{1e-3, 0.1, 0.5, 1, 1.7, 3, 6, 10, 30, 88, 120, 700, 1e4};
  if constexpr (std::is_same_v<F, fn::Log> || std::is_same_v<F, fn::Sqrt> || std::is_same_v<F, fn::PowScalar>) {
    all.insert(all.end(), {1e-6, 1e-5});
  } else if constexpr (std::is_same_v<F, fn::Log1p>) {
    all.insert(all.end(), {0, -1e-3, -0.1, -0.5, -0.9});
  } else {
    for (std::size_t i = 0, n = all.size(); i < n; ++i) all.push_back(-all[i]);
    all.push_back(0);
  }
  return all;
}

// A few ulp of the value, and of the argument where the formula subtracts numbers of that size.
template <class F, class T>
Real forward_tolerance(Real x, Real value) {
  const Real eps = std::numeric_limits<T>::epsilon();
  const Real scale = std::is_same_v<F, fn::Gelu> ? std::fmax(std::fabs(value), std::fabs(x)) : std::fabs(value);
  return 4 * eps * scale + 2 * static_cast<Real>(std::numeric_limits<T>::denorm_min());
}

template <class T>
bool near(T got, Real want, Real tolerance) {
  const T rounded = static_cast<T>(want);
  if (std::isinf(rounded) || std::isinf(got)) return got == rounded;
  return std::fabs(static_cast<Real>(got) - want) <= tolerance;
}

template <class T>
Real derivative_tolerance(Real slope) {
  return std::fmax(Real(1e-9), 32 * static_cast<Real>(std::numeric_limits<T>::epsilon())) *
         std::fmax(Real(1), std::fabs(slope));
}

// The slope at x, and whether there is a kink: slopes from both sides that differ.
struct Slope {
  Real value;
  bool kink;
};
template <class F>
Slope slope_of(F f, Real x) {
  const Real size = std::fabs(x), h = 1e-6L * (size == 0 ? 1 : size > 1000 ? 1000 : std::fmin(size, Real(1)));
  const Real right = (f(x + h) - f(x)) / h, left = (f(x) - f(x - h)) / h;
  return {(f(x + h) - f(x - h)) / (2 * h), std::fabs(right - left) > 0.01L * (1 + std::fabs(right))};
}

// Not templates, and so compiled once: the checks of every functor.
void check_at(const char* what, const char* name, double a, double b, double got, Real want, bool good) {
  INFO(what << " of " << name << " at " << a << ", " << b << ": got " << got << ", want " << static_cast<double>(want));
  CHECK(good);
}
void check_that(const char* name, bool good) {
  INFO(name);
  CHECK(good);
}

}  // namespace

TEMPLATE_TEST_CASE("Unary functors compute their formula", "[functors]", float, double) {
  for_each(fn::Unary{}, [](auto base) {
    const auto f = example(base);
    using F = std::remove_const_t<decltype(f)>;
    for (const double point : points<F>()) {
      const TestType x = static_cast<TestType>(point), got = f.forward(x);
      const Real want = formula(f, static_cast<Real>(x));
      check_at("value", F::name, x, 0, got, want, near(got, want, forward_tolerance<F, TestType>(x, want)));
    }
  });
}

TEMPLATE_TEST_CASE("Unary functors differentiate their formula", "[functors]", float, double) {
  for_each(fn::Unary{}, [](auto base) {
    const auto f = example(base);
    using F = std::remove_const_t<decltype(f)>;
    int compared = 0;
    for (const double point : points<F>()) {
      const TestType x = static_cast<TestType>(point), y = f.forward(x), dy = TestType(0.75);
      const Slope slope = slope_of([&](Real at) { return formula(f, at); }, static_cast<Real>(x));
      if (slope.kink) continue;
      const TestType got = f.backward(x, y, dy);
      const Real want = slope.value * 0.75L;
      check_at("derivative", F::name, x, 0, got, want, near(got, want, derivative_tolerance<TestType>(want)));
      ++compared;
    }
    check_that(F::name, compared >= 15);
  });
}

TEST_CASE("Unary functors at kinks, far out and for NaN", "[functors]") {
  CHECK(fn::Abs{}.backward(0.0, 0.0, 5.0) == 0);
  CHECK(fn::Relu{}.backward(0.0, 0.0, 5.0) == 0);
  CHECK(fn::LeakyRelu{0.25}.backward(0.0, 0.0, 8.0) == 2);
  CHECK(fn::Clamp{-1, 2}.backward(-1.0, -1.0, 5.0) == 5);
  CHECK(fn::Clamp{-1, 2}.backward(2.0, 2.0, 5.0) == 5);
  CHECK(fn::Clamp{}.forward(-1e300) == -1e300);
  for (const double x : {1e30, kInf}) {
    CHECK(fn::Sigmoid{}.forward(x) == 1);
    CHECK(fn::Sigmoid{}.forward(-x) == 0);
    CHECK(fn::Tanh{}.forward(-x) == -1);
    CHECK(fn::Softplus{}.forward(x) == x);
    CHECK(fn::Softplus{}.forward(-x) == 0);
    CHECK(fn::Exp{}.forward(-x) == 0);
  }
  for (const float x : {1e30f, -1e30f}) {
    const float side = x > 0 ? 1.0f : 0.0f;
    CHECK(fn::Gelu{}.forward(x) == side * x);
    CHECK(fn::Gelu{}.backward(x, side * x, 1.0f) == side);
    CHECK(fn::Silu{}.forward(x) == side * x);
    CHECK(fn::Silu{}.backward(x, side * x, 1.0f) == side);
    CHECK(fn::Softplus{}.backward(x, side * x, 1.0f) == side);
  }
  CHECK(fn::PowScalar{0}.backward(0.0, 1.0, 5.0) == 0);
  CHECK(fn::PowScalar{1}.backward(0.0, 0.0, 5.0) == 5);
  CHECK(fn::PowScalar{2}.backward(0.0, 0.0, 5.0) == 0);
  CHECK(fn::PowScalar{3}.forward(-2.0) == -8);
  CHECK(fn::PowScalar{3}.backward(-2.0, -8.0, 1.0) == 12);
  CHECK(fn::Log{}.forward(0.0) == -kInf);
  CHECK(std::isnan(fn::Sqrt{}.forward(-1.0)));
  for_each(fn::Unary{}, [](auto f) { check_that(f.name, std::isnan(example(f).forward(kNan))); });
}

TEMPLATE_TEST_CASE("Binary functors compute and differentiate their formula", "[functors]", float, double) {
  const std::vector<double> values{-1e4, -700, -6.5, -1, -0.1, 0.001, 0.1, 1, 1.75, 6.5, 700, 1e4};
  for_each(fn::Binary{}, [&](auto f) {
    using F = decltype(f);
    constexpr bool is_power = std::is_same_v<F, fn::Pow>;
    int compared = 0;
    for (const double left : values)
      for (const double right : values) {
        if (is_power && (left < 0 || std::fabs(right) > 10)) continue;
        const TestType a = static_cast<TestType>(left), b = static_cast<TestType>(right), y = f.forward(a, b);
        const Real want = formula(f, a, b), la = a, lb = b;
        check_at("value", F::name, a, b, y, want, near(y, want, forward_tolerance<F, TestType>(0, want)));
        const Slope by_a = slope_of([&](Real at) { return formula(f, at, lb); }, la);
        const Slope by_b = slope_of([&](Real at) { return formula(f, la, at); }, lb);
        if (by_a.kink || by_b.kink || std::isinf(y)) continue;
        const TestType da = f.backward_a(a, b, y, TestType(0.75)), db = f.backward_b(a, b, y, TestType(0.75));
        // The difference quotient's own rounding is in proportion to the value it divides.
        const Real noise = std::fabs(want) * 1e-9L;
        const Real want_a = by_a.value * 0.75L, want_b = by_b.value * 0.75L;
        check_at("derivative by a", F::name, a, b, da, want_a,
                 near(da, want_a, derivative_tolerance<TestType>(want_a) + noise));
        check_at("derivative by b", F::name, a, b, db, want_b,
                 near(db, want_b, derivative_tolerance<TestType>(want_b) + noise));
        ++compared;
      }
    check_that(F::name, compared >= 40);
  });
}

TEST_CASE("Binary functors at ties, zero and NaN", "[functors]") {
  CHECK(fn::Maximum{}.backward_a(2.0, 2.0, 2.0, 5.0) == 2.5);
  CHECK(fn::Maximum{}.backward_b(2.0, 2.0, 2.0, 5.0) == 2.5);
  CHECK(fn::Minimum{}.backward_a(2.0, 2.0, 2.0, 5.0) == 2.5);
  CHECK(fn::Minimum{}.backward_b(2.0, 2.0, 2.0, 5.0) == 2.5);
  CHECK(fn::Maximum{}.forward(-3, 2) == 2);
  CHECK(fn::Minimum{}.forward(-3, 2) == -3);
  CHECK(fn::Pow{}.forward(-2.0, 3.0) == -8);
  CHECK(fn::Pow{}.backward_a(-2.0, 3.0, -8.0, 1.0) == 12);
  CHECK(fn::Pow{}.backward_a(0.0, 0.0, 1.0, 1.0) == 0);
  CHECK(fn::Pow{}.backward_b(0.0, 2.0, 0.0, 1.0) == 0);
  for_each(fn::Binary{}, [](auto f) {
    check_that(f.name, std::isnan(f.forward(kNan, 2.0)));
    check_that(f.name, std::isnan(f.forward(2.0, kNan)));
  });
}

TEST_CASE("Comparison functors", "[functors]") {
  const auto results = [](double a, double b) {
    std::string all;
    for_each(fn::Compare{}, [&](auto f) { all += f.forward(a, b) ? '1' : '0'; });
    return all;  // equal, not equal, less, less or equal, greater, greater or equal
  };
  CHECK(results(1, 2) == "011100");
  CHECK(results(2, 2) == "100101");
  CHECK(results(3, 2) == "010011");
  CHECK(results(kNan, 2) == "010000");
  CHECK(results(-0.0, 0.0) == "100101");
  CHECK(fn::Less{}.forward(std::int64_t{-5}, std::int64_t{1} << 62));
}

TEST_CASE("What promises to keep zero keeps it", "[functors]") {
  int promises = 0;
  for_each(fn::Unary{}, [&](auto base) {
    const auto f = example(base);
    if (!fn::keeps_zero<std::remove_const_t<decltype(f)>>()) return;
    check_that(f.name, f.forward(0.0) == 0);
    check_that(f.name, f.backward(0.0, 0.0, 0.0) == 0);
    check_that(f.name, std::isfinite(f.backward(0.0, 0.0, 1.0)));
    ++promises;
  });
  for_each(fn::Binary{}, [&](auto f) {
    if (!fn::keeps_zero<decltype(f)>()) return;
    check_that(f.name, f.forward(0.0, 0.0) == 0);
    check_that(f.name, f.backward_a(0.0, 0.0, 0.0, 0.0) == 0);
    check_that(f.name, f.backward_b(0.0, 0.0, 0.0, 0.0) == 0);
    ++promises;
  });
  CHECK(promises >= 8);
  CHECK_FALSE(fn::keeps_zero<fn::Exp>());
  CHECK_FALSE(fn::keeps_zero<fn::Div>());
}

TEST_CASE("Names are unique within a list, and positions are those of the list", "[functors]") {
  const auto check_list = [](auto list) {
    std::set<std::string> names;
    int position = 0;
    for_each(list, [&](auto f) {
      check_that(f.name, fn::IndexOf<decltype(f), decltype(list)>::value == position++);
      check_that(f.name, names.insert(f.name).second);
    });
    CHECK(decltype(list)::size == position);
  };
  check_list(fn::Unary{});
  check_list(fn::Binary{});
  check_list(fn::Compare{});
}

TEMPLATE_TEST_CASE("Tensor operations reach the functor they name, with its parameters", "[functors]", float, double) {
  const std::vector<TestType> left{-3, -1, -0.5, 0.5, 2, 3}, right{2, -1, 3, 0.5, -2, 1};
  const Tensor a = Tensor::from(left), b = Tensor::from(right), dy = Tensor::full(a.shape(), 0.75, a.dtype());
  const auto same = [](const char* name, const Tensor& got, const std::vector<TestType>& want) {
    check_that(name, got.to_vector<TestType>() == want);
  };
  const auto each = [&](auto f) {
    std::vector<TestType> result;
    for (std::size_t i = 0; i < left.size(); ++i) result.push_back(f(left[i], right[i]));
    return result;
  };
  const TestType g = TestType(0.75);
  for_each(fn::Unary{}, [&](auto base) {
    const auto f = example(base);
    using F = std::remove_const_t<decltype(f)>;
    const Tensor x = unary(a, fn::Abs{}), y = unary(x, f);  // within every domain
    same(F::name, y, each([&](TestType v, TestType) { return f.forward(std::fabs(v)); }));
    same(F::name, unary_backward(x, y, dy, f),
         each([&](TestType v, TestType) { return f.backward(std::fabs(v), f.forward(std::fabs(v)), g); }));
  });
  for_each(fn::Binary{}, [&](auto f) {
    using F = decltype(f);
    const Tensor x = unary(a, fn::Abs{}), y = binary<F>(x, b);
    same(F::name, y, each([&](TestType v, TestType w) { return f.forward(std::fabs(v), w); }));
    same(F::name, binary_backward<F>(0, x, b, y, dy),
         each([&](TestType v, TestType w) { return f.backward_a(std::fabs(v), w, f.forward(std::fabs(v), w), g); }));
    same(F::name, binary_backward<F>(1, x, b, y, dy),
         each([&](TestType v, TestType w) { return f.backward_b(std::fabs(v), w, f.forward(std::fabs(v), w), g); }));
  });
  for_each(fn::Compare{}, [&](auto f) {
    using F = decltype(f);
    const Tensor got = compare<F>(a, b);
    check_that(F::name, got.dtype() == DType::boolean);
    same(F::name, got, each([&](TestType v, TestType w) { return TestType(f.forward(v, w)); }));
  });
}
