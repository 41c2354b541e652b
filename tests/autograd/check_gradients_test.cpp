#include "autograd/check_gradients.h"

#include <cmath>

#include "autograd/elementwise.h"
#include "autograd/linalg.h"
#include "autograd/reduce.h"
#include "core/error.h"
#include "core/ops.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

namespace {

Tensor numbers(const Shape& shape) { return random_normal(shape, 0, 1, DType::f64, Device::cpu(), {7, 1}); }

// x^2 whose pullback is off by the factor given.
Variable square(const Variable& x, double factor) {
  return record("square", x.value() * x.value(),
                {{x, [x = Saved(x.value()), factor](const Tensor& dy) { return dy * x * (2 * factor); }}});
}

using Inputs = std::vector<Variable>;

}  // namespace

TEST_CASE("check_gradients passes a right gradient and counts every entry", "[autograd][check_gradients]") {
  const auto report = check_gradients([](const Inputs& in) { return square(in[0], 1) * in[1]; },
                                      {numbers({2, 3}), numbers({3})}, {.directions = 4});
  CHECK(report.ok);
  CHECK(report.checked == 6 + 3 + 4);
  CHECK(report.kinks == 0);
  CHECK(report.worst < 1);
}

TEST_CASE("check_gradients fails on a wrong gradient and says where", "[autograd][check_gradients]") {
  const auto f = [](const Inputs& in) { return square(in[0], 1.01); };
  const auto report = check_gradients(f, {numbers({2, 3})});
  CHECK_FALSE(report.ok);
  CHECK(report.worst > 1);
  CHECK(contains(report.message, "input 0["));
  CHECK(contains(report.message, "of shape (2, 3): gradient"));
  // Directions alone find it too.
  CHECK_FALSE(check_gradients(f, {numbers({2, 3})}, {.max_entries = 1, .directions = 5}).ok);
  // A factor inside the tolerance does not fail.
  CHECK(check_gradients([](const Inputs& in) { return square(in[0], 1.0001); }, {numbers({2, 3})}).ok);
}

TEST_CASE("check_gradients fails where one entry of many is wrong", "[autograd][check_gradients]") {
  const auto f = [](const Inputs& in) {
    return record("off", in[0].value() * 2.0, {{in[0], [](const Tensor& dy) {
                                                  Tensor dx = dy * 2.0;
                                                  dx.slice(0, 3, 4).fill_(0);
                                                  return dx;
                                                }}});
  };
  const auto report = check_gradients(f, {numbers({5})});
  CHECK_FALSE(report.ok);
  CHECK(contains(report.message, "input 0[3] of shape (5,): gradient 0, finite difference"));
}

TEST_CASE("check_gradients fails on a gradient that is missing, NaN or has the wrong sign", "[autograd][check_gradients]") {
  CHECK_FALSE(check_gradients([](const Inputs& in) { return Variable(in[0].value() * 2.0); }, {numbers({3})}).ok);
  CHECK_FALSE(check_gradients([](const Inputs& in) { return square(in[0], -1); }, {numbers({3})}).ok);
  CHECK_FALSE(check_gradients([](const Inputs& in) { return square(in[0], std::nan("")); }, {numbers({3})}).ok);
  CHECK_FALSE(check_gradients([](const Inputs& in) { return sqrt(in[0]); }, {Tensor::from<double>({-1.0, 1.0})}).ok);
}

TEST_CASE("check_gradients takes another point where the steps cross a kink, and counts it", "[autograd][check_gradients]") {
  const Tensor x = Tensor::from<double>({0.0, 1.0, 3e-7, -2.0});
  const auto report = check_gradients([](const Inputs& in) { return relu(in[0]); }, {x});
  CHECK(report.ok);
  CHECK(report.kinks == 2);
  CHECK(report.skipped == 0);
  CHECK(report.checked == 4);
  // A wrong slope beside the kink is still found.
  const auto wrong = [](const Inputs& in) {
    return record("wrong", unary<fn::Relu>(in[0].value()), {{in[0], [](const Tensor& dy) { return dy * 0.5; }}});
  };
  CHECK_FALSE(check_gradients(wrong, {Tensor::from<double>({0.0})}).ok);
}

TEST_CASE("check_gradients does not pass what it could not compare", "[autograd][check_gradients]") {
  // Steps of 0.1 cross the kinks of |sin(1000 x)| wherever they start: no point nearby helps.
  const auto f = [](const Inputs& in) {
    std::vector<double> y;
    for (const double v : in[0].value().to_vector<double>()) y.push_back(std::abs(std::sin(1000 * v)));
    return record("rough", Tensor::from(y), {{in[0], [](const Tensor& dy) { return dy; }}});
  };
  const auto report = check_gradients(f, {numbers({6})}, {.eps = 0.1});
  CHECK_FALSE(report.ok);
  CHECK(report.skipped == 6);
  CHECK(report.checked == 0);
  CHECK(report.message == "6 of 6 points lie on a kink: too few are left to judge by");
}

TEST_CASE("check_gradients of parameters restores them and names the one that is wrong", "[autograd][check_gradients]") {
  Variable weight(numbers({4, 3}), true), bias(numbers({4}), true);
  weight.set_name("fc.weight");
  bias.set_name("fc.bias");
  const Tensor x = numbers({2, 3});
  const std::vector<double> before = weight.value().to_vector<double>();
  CHECK(check_gradients([&] { return tanh(linear(x, weight, bias)); }, {weight, bias}, {.max_entries = 5, .directions = 3}).ok);
  CHECK(weight.value().to_vector<double>() == before);
  CHECK_FALSE(weight.has_grad());
  const auto report = check_gradients([&] { return linear(x, weight, square(bias, 2)); }, {weight, bias});
  CHECK_FALSE(report.ok);
  CHECK(contains(report.message, "fc.bias["));
  CHECK_THROWS_AS(check_gradients([&]() -> Variable { throw ValueError("mine", "no"); }, {weight}), ValueError);
  CHECK(weight.value().to_vector<double>() == before);
}

TEST_CASE("check_gradients refuses what it cannot check", "[autograd][check_gradients]") {
  const auto same = [](const Inputs& in) { return in[0] * 1.0; };
  CHECK(message_of<DTypeError>([&] { check_gradients(same, {Tensor::ones({2})}); }) ==
        "[check_gradients] expected inputs of f64; got f32");
  CHECK_THROWS_AS(check_gradients(same, {numbers({2})}, {.eps = 0}), ValueError);
  CHECK_THROWS_AS(check_gradients(same, {numbers({2})}, {.max_entries = -1}), ValueError);
  const Variable constant(numbers({2}));
  CHECK_THROWS_AS(check_gradients([&] { return constant * 1.0; }, {constant}), AutogradError);
}
