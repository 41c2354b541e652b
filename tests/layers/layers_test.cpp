#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autograd/check_gradients.h"
#include "autograd/elementwise.h"
#include "core/error.h"
#include "core/random.h"
#include "layers/activation.h"
#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "layers/sequential.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <class M>
std::string refusal(typename M::Options options) {
  return message_of<ValueError>([&] { layer<M>(options); });
}

std::vector<double> run(Module& module, const Tensor& x) { return module(x).value().to_vector<double>(); }

}  // namespace

TEST_CASE("options are refused by name with the value", "[layers]") {
  CHECK(contains(refusal<Linear>({.in_features = 0, .out_features = 1}), "[Linear] expected in_features >= 1; got 0"));
  CHECK(contains(refusal<Linear>({.in_features = 1, .out_features = -2}), "[Linear] expected out_features >= 1; got -2"));

  CHECK(contains(refusal<NormedLinear>({.out_features = 1}), "[NormedLinear] expected in_features >= 1; got 0"));
  CHECK(contains(refusal<NormedLinear>({.in_features = 1}), "[NormedLinear] expected out_features >= 1; got 0"));

  const Conv2dOptions good{.in_channels = 4, .out_channels = 6};
  const auto conv = [&](auto change) {
    Conv2dOptions options = good;
    change(options);
    return refusal<Conv2d>(options);
  };
  CHECK(contains(conv([](auto& o) { o.in_channels = 0; }), "[Conv2d] expected in_channels >= 1; got 0"));
  CHECK(contains(conv([](auto& o) { o.out_channels = 0; }), "[Conv2d] expected out_channels >= 1; got 0"));
  CHECK(contains(conv([](auto& o) { o.kernel = {0, 3}; }), "[Conv2d] expected kernel >= 1; got 0x3"));
  CHECK(contains(conv([](auto& o) { o.stride = 0; }), "[Conv2d] expected stride >= 1; got 0x0"));
  CHECK(contains(conv([](auto& o) { o.padding = -1; }), "[Conv2d] expected padding >= 0; got -1x-1"));
  CHECK(contains(conv([](auto& o) { o.dilation = 0; }), "[Conv2d] expected dilation >= 1; got 0x0"));
  CHECK(contains(conv([](auto& o) { o.groups = 4; }), "in_channels (4) and out_channels (6); got 4"));
  CHECK(contains(conv([](auto& o) { o.groups = 0; }), "got 0"));

  CHECK(contains(refusal<BatchNorm2d>({.channels = 0}), "[BatchNorm2d] expected channels >= 1; got 0"));
  CHECK(contains(refusal<BatchNorm2d>({.channels = 1, .momentum = 1.5}), "momentum in [0, 1]; got 1.5"));
  CHECK(contains(refusal<BatchNorm2d>({.channels = 1, .momentum = kNaN}), "got nan"));
  CHECK(contains(refusal<BatchNorm2d>({.channels = 1, .eps = 0}), "eps > 0; got 0"));
  CHECK(contains(refusal<LayerNorm>({.features = 0}), "[LayerNorm] expected features >= 1; got 0"));
  CHECK(contains(refusal<LayerNorm>({.features = 1, .eps = -1}), "eps > 0; got -1"));
  CHECK(contains(refusal<MaxPool2d>({.kernel = 0}), "[MaxPool2d] expected kernel >= 1; got 0x0"));
  CHECK(contains(refusal<MaxPool2d>({.kernel = 2, .stride = {0, 1}}), "stride >= 1 (or 0: the kernel); got 0x1"));
  CHECK(contains(refusal<AvgPool2d>({.kernel = 3, .padding = 2}), "[AvgPool2d] expected padding"));
  CHECK(contains(refusal<Dropout>({.p = 1}), "[Dropout] expected p in [0, 1); got 1"));
  CHECK(contains(refusal<Dropout>({.p = kNaN}), "got nan"));
  CHECK(contains(refusal<LeakyReLU>({.slope = kNaN}), "[LeakyReLU] expected a finite slope; got nan"));
  CHECK(contains(refusal<Residual>({}), "[Residual] expected a body"));
  CHECK_THROWS_AS(Activation("Nothing", nullptr), ValueError);
}

TEST_CASE("Linear computes x w^T + b", "[layers]") {
  Linear fc({.in_features = 2, .out_features = 3});
  fc.weight().set_value(Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2}));
  fc.bias().set_value(Tensor::from<float>({10, 20, 30}));
  CHECK(run(fc, Tensor::from<float>({1, -1}, {1, 2})) == std::vector<double>{9, 19, 29});
  Linear bare({.in_features = 2, .out_features = 3, .bias = false});
  CHECK(bare.parameters().size() == 1);
  CHECK_THROWS_AS(fc(Tensor::ones({1, 3})), ShapeError);
}

TEST_CASE("NormedLinear gives the cosines between inputs and weights", "[layers]") {
  manual_seed(5);
  NormedLinear fc({.in_features = 40, .out_features = 30});
  CHECK(fc.describe() == "NormedLinear(40 -> 30)");
  CHECK(fc.parameters().size() == 1);
  REQUIRE(fc.weight().shape() == Shape{30, 40});
  // Uniform numbers, then rows of length 1: the entries have mean square 1 / 40, and none is above sqrt(3 / 40) by much.
  const std::vector<double> start = fc.weight().value().to_vector<double>();
  for (std::size_t row = 0; row < 30; ++row)
    CHECK(std::inner_product(&start[row * 40], &start[row * 40] + 40, &start[row * 40], 0.0) == Approx(1).epsilon(1e-5));
  CHECK(*std::max_element(start.begin(), start.end()) < 0.4);
  CHECK(*std::min_element(start.begin(), start.end()) > -0.4);
  CHECK(std::abs(std::accumulate(start.begin(), start.end(), 0.0)) / 1200 < 0.02);
  for (const double cosine : run(fc, random_normal({50, 40}, 0, 100))) CHECK(std::abs(cosine) <= 1 + 1e-6);

  NormedLinear small({.in_features = 2, .out_features = 3});
  small.weight().set_value(Tensor::from<float>({5, 0, 3, 4, -0.1f, 0}, {3, 2}));
  const std::vector<double> y = run(small, Tensor::from<float>({8, 6, 0, 0}, {2, 2}));
  const std::vector<double> want = {0.8, 0.96, -0.8, 0, 0, 0};
  for (std::size_t i = 0; i < want.size(); ++i) CHECK(y[i] == Approx(want[i]).margin(1e-12));
  CHECK(small(Tensor::ones({2, 5, 2})).shape() == Shape{2, 5, 3});
  CHECK_THROWS_AS(small(Tensor::ones({1, 3})), ShapeError);
}

TEST_CASE("NormedLinear differentiates by inputs and weights", "[layers]") {
  NormedLinear fc({.in_features = 4, .out_features = 3});
  fc.astype(DType::f64);
  const Variable x(random_normal({5, 4}, 0, 1, DType::f64), true);
  const auto report = check_gradients([&] { return fc(x); }, {x, fc.weight()});
  INFO(report.message);
  CHECK(report.ok);
  CHECK(report.checked >= 20 + 12);
}

TEST_CASE("Conv2d has the geometry of its options", "[layers]") {
  Conv2d conv({.in_channels = 4, .out_channels = 6, .kernel = {3, 5}, .stride = {1, 2}, .padding = {1, 2}, .groups = 2});
  CHECK(conv.weight().shape() == Shape{6, 2, 3, 5});
  CHECK(conv(Tensor::ones({2, 4, 7, 8})).shape() == Shape{2, 6, 7, 4});
  CHECK(conv.describe() == "Conv2d(4 -> 6, 3x5, stride 1x2, padding 1x2, groups 2)");
  conv.weight().set_value(Tensor::ones({6, 2, 3, 5}));
  conv.bias().set_value(Tensor::full({6}, 0.5));
  CHECK(conv(Tensor::ones({1, 4, 7, 9})).value().select(0, 0).select(0, 0).select(0, 3).select(0, 2).item() == Approx(30.5));
  CHECK_THROWS_AS(conv(Tensor::ones({1, 3, 7, 9})), ShapeError);
}

TEST_CASE("BatchNorm2d normalises with the batch, then with what it has seen", "[layers]") {
  manual_seed(1);
  BatchNorm2d bn({.channels = 2, .momentum = 0.25});
  const Tensor x = random_normal({8, 2, 3, 3}, 5, 2);
  const std::vector<double> values = x.to_vector<double>();
  double mean = 0, square = 0;
  for (int n = 0; n < 8; ++n)
    for (int i = 0; i < 9; ++i) mean += values[static_cast<std::size_t>(n * 18 + i)] / 72;
  for (int n = 0; n < 8; ++n)
    for (int i = 0; i < 9; ++i) square += std::pow(values[static_cast<std::size_t>(n * 18 + i)] - mean, 2);

  const double trained = run(bn, x)[0];
  CHECK(trained == Approx((values[0] - mean) / std::sqrt(square / 72 + 1e-5)).margin(1e-5));
  auto state = bn.state();
  CHECK(state.at("running_mean").to_vector<double>()[0] == Approx(0.25 * mean));
  CHECK(state.at("running_var").to_vector<double>()[0] == Approx(0.75 + 0.25 * square / 71));
  CHECK(state.at("num_batches_tracked").item<std::int64_t>() == 1);

  bn.eval();
  const double evaluated = run(bn, x)[0];
  CHECK(evaluated == Approx((values[0] - 0.25 * mean) / std::sqrt(0.75 + 0.25 * square / 71 + 1e-5)).margin(1e-5));
  CHECK(bn.state().at("num_batches_tracked").item<std::int64_t>() == 1);
}

TEST_CASE("LayerNorm normalises each row", "[layers]") {
  LayerNorm norm({.features = 4});
  const std::vector<double> y = run(norm, Tensor::from<float>({1, 2, 3, 4, -10, 0, 10, 20}, {2, 4}));
  CHECK(y[0] == Approx(-1.5 / std::sqrt(1.25 + 1e-5)));
  CHECK(y[7] == Approx(15 / std::sqrt(125 + 1e-5)));
  CHECK(LayerNorm({.features = 4, .affine = false}).parameters().empty());
  CHECK(contains(message_of<ShapeError>([&] { norm(Tensor::ones({2, 5})); }), "expected a last axis of 4; got shape (2, 5)"));
}

TEST_CASE("pools and Flatten", "[layers]") {
  std::vector<float> values(16);
  std::iota(values.begin(), values.end(), 0.0f);
  const Tensor x = Tensor::from(values, {1, 1, 4, 4});
  MaxPool2d max;
  AvgPool2d avg;
  GlobalAvgPool all;
  Flatten flat;
  CHECK(run(max, x) == std::vector<double>{5, 7, 13, 15});
  CHECK(run(avg, x) == std::vector<double>{2.5, 4.5, 10.5, 12.5});
  CHECK(all(x).shape() == Shape{1, 1});
  CHECK(run(all, x) == std::vector<double>{7.5});
  CHECK(flat(Tensor::ones({2, 3, 4, 5})).shape() == Shape{2, 60});
  CHECK(MaxPool2d({.kernel = 3, .stride = 2, .padding = 1})(x).shape() == Shape{1, 1, 2, 2});
}

TEST_CASE("activations apply their function", "[layers]") {
  const Tensor x = Tensor::from<float>({-2, 0, 1.5});
  const auto check_module = [&](Module& module, double (*formula)(double)) {
    INFO(module.describe());
    const std::vector<double> y = run(module, x);
    const double points[] = {-2, 0, 1.5};
    for (std::size_t i = 0; i < 3; ++i) CHECK(y[i] == Approx(formula(points[i])).margin(1e-6));
  };
  ReLU relu_layer;
  GELU gelu_layer;
  SiLU silu_layer;
  Sigmoid sigmoid_layer;
  Tanh tanh_layer;
  Softplus softplus_layer;
  LeakyReLU leaky({.slope = 0.1});
  Activation square("Square", [](const Variable& v) { return v * v; });
  check_module(relu_layer, [](double v) { return std::max(v, 0.0); });
  check_module(gelu_layer, [](double v) { return v * 0.5 * std::erfc(-v / std::sqrt(2.0)); });
  check_module(silu_layer, [](double v) { return v / (1 + std::exp(-v)); });
  check_module(sigmoid_layer, [](double v) { return 1 / (1 + std::exp(-v)); });
  check_module(tanh_layer, [](double v) { return std::tanh(v); });
  check_module(softplus_layer, [](double v) { return std::log1p(std::exp(v)); });
  check_module(leaky, [](double v) { return v < 0 ? 0.1 * v : v; });
  check_module(square, [](double v) { return v * v; });
}

TEST_CASE("Dropout drops in training only", "[layers]") {
  manual_seed(5);
  Dropout drop({.p = 0.25});
  const std::vector<double> y = run(drop, Tensor::ones({10000}));
  const auto zeros = std::count(y.begin(), y.end(), 0.0);
  CHECK(std::abs(static_cast<double>(zeros) - 2500) < 5 * std::sqrt(10000 * 0.25 * 0.75));
  CHECK(*std::max_element(y.begin(), y.end()) == Approx(1 / 0.75));
  drop.eval();
  CHECK(run(drop, Tensor::ones({100})) == std::vector<double>(100, 1));
}

TEST_CASE("Sequential runs in order and names by position or as told", "[layers]") {
  const auto net = sequential({layer<Linear>({.in_features = 2, .out_features = 3}), layer<ReLU>()});
  net->append("head", layer<Linear>({.in_features = 3, .out_features = 1})).append(layer<Tanh>());
  CHECK(net->size() == 4);
  CHECK(net->parameters()[0].name() == "0.weight");
  CHECK(net->parameters()[2].name() == "head.weight");
  CHECK(net->module("3").describe() == "Tanh");
  CHECK((*net)(Tensor::ones({5, 2})).shape() == Shape{5, 1});
  CHECK_THROWS_AS(net->append("head", layer<ReLU>()), ValueError);
  CHECK(net->size() == 4);
  CHECK(run(*sequential({}), Tensor::ones({2})) == std::vector<double>{1, 1});
}

TEST_CASE("Residual adds the shortcut", "[layers]") {
  Residual plain({.body = std::make_shared<Activation>("Double", [](const Variable& x) { return x * 2; })});
  CHECK(run(plain, Tensor::ones({2})) == std::vector<double>{3, 3});
  Residual projected({.body = layer<Linear>({.in_features = 2, .out_features = 3}),
                      .shortcut = layer<Linear>({.in_features = 2, .out_features = 3, .bias = false})});
  CHECK(projected(Tensor::ones({4, 2})).shape() == Shape{4, 3});
  CHECK(projected.parameters()[2].name() == "shortcut.weight");
  Residual wrong({.body = layer<Linear>({.in_features = 2, .out_features = 3})});
  CHECK(contains(message_of<ShapeError>([&] { wrong(Tensor::ones({4, 2})); }), "got (4, 3) and (4, 2)"));
}
