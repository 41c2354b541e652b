// The reference backend's image kernels against hand-computed values, seven nested loops, and their own adjoints.
#include <limits>

#include "core/backend.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

Backend& reference() { return reference_backend(); }

struct ConvCase {
  const char* what;
  Shape x, weight;
  Conv2dGeometry geometry;
};

const std::vector<ConvCase>& conv_cases() {
  static const std::vector<ConvCase> cases{
      {"1 x 1", {2, 3, 4, 5}, {4, 3, 1, 1}, {}},
      {"same padding", {2, 3, 6, 7}, {5, 3, 3, 3}, {.padding = {1, 1}}},
      {"stride 2", {2, 3, 7, 8}, {4, 3, 3, 3}, {.stride = {2, 2}, .padding = {1, 1}}},
      {"stride 2, a row and column left over", {1, 2, 8, 8}, {3, 2, 3, 3}, {.stride = {2, 2}}},
      {"stride above the kernel", {1, 2, 9, 10}, {3, 2, 2, 1}, {.stride = {3, 4}}},
      {"all different", {2, 2, 9, 11}, {3, 2, 3, 2}, {.stride = {2, 3}, .padding = {2, 1}, .dilation = {1, 2}}},
      {"dilation with stride", {1, 2, 11, 12}, {2, 2, 3, 3}, {.stride = {3, 2}, .padding = {3, 2}, .dilation = {2, 3}}},
      {"groups", {2, 6, 5, 5}, {4, 3, 3, 3}, {.padding = {1, 1}, .groups = 2}},
      {"depthwise", {2, 4, 6, 5}, {4, 1, 3, 3}, {.stride = {2, 1}, .padding = {1, 0}, .groups = 4}},
      {"depthwise, two outputs a channel", {1, 3, 5, 5}, {6, 1, 3, 3}, {.groups = 3}},
      {"kernel as large as the image", {3, 2, 4, 5}, {6, 2, 4, 5}, {}},
      {"windows wholly in the padding", {1, 1, 2, 2}, {2, 1, 2, 2}, {.padding = {3, 3}}},
      {"one pixel", {2, 3, 1, 1}, {2, 3, 3, 3}, {.padding = {1, 1}}},
      {"wider than one piece of a run", {1, 2, 20, 40}, {2, 2, 3, 3}, {.padding = {1, 1}}},
  };
  return cases;
}

// f(index in y, in x, in weight) for every product of the convolution.
template <class F>
void for_each_product(const ConvCase& c, const Shape& y, F f) {
  const Conv2dGeometry& g = c.geometry;
  for (std::int64_t n = 0; n < y[0]; ++n)
    for (std::int64_t o = 0; o < y[1]; ++o)
      for (std::int64_t i = 0; i < y[2]; ++i)
        for (std::int64_t j = 0; j < y[3]; ++j)
          for (std::int64_t k = 0; k < c.weight[1]; ++k)
            for (std::int64_t r = 0; r < c.weight[2]; ++r)
              for (std::int64_t s = 0; s < c.weight[3]; ++s) {
                const std::int64_t h = i * g.stride[0] + r * g.dilation[0] - g.padding[0];
                const std::int64_t w = j * g.stride[1] + s * g.dilation[1] - g.padding[1];
                if (h < 0 || h >= c.x[2] || w < 0 || w >= c.x[3]) continue;
                const std::int64_t channel = o / (y[1] / g.groups) * c.weight[1] + k;
                f(static_cast<std::size_t>(((n * y[1] + o) * y[2] + i) * y[3] + j),
                  static_cast<std::size_t>(((n * c.x[1] + channel) * c.x[2] + h) * c.x[3] + w),
                  static_cast<std::size_t>(((o * c.weight[1] + k) * c.weight[2] + r) * c.weight[3] + s));
              }
}

std::vector<double> zeros(const Shape& shape) { return std::vector<double>(static_cast<std::size_t>(shape.numel())); }

}  // namespace

TEST_CASE("reference conv2d by hand", "[reference]") {
  const Tensor x = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 9}, Shape{1, 1, 3, 3});
  const Tensor weight = Tensor::from(std::vector<double>{1, 0, 0, -1}, Shape{1, 1, 2, 2});
  const Tensor bias = Tensor::from(std::vector<double>{10});
  CHECK(reference().conv2d(x, weight, bias, {}).to_vector<double>() == std::vector<double>{6, 6, 6, 6});
  CHECK(reference().conv2d(x, weight, {}, {.stride = {2, 2}, .padding = {1, 1}}).to_vector<double>() ==
        std::vector<double>{-1, -3, -7, -4});
  const Tensor dy = Tensor::from(std::vector<double>{1, 2, 3, 4}, Shape{1, 1, 2, 2});
  CHECK(reference().conv2d_backward_input(dy, weight, x.shape(), {}).to_vector<double>() ==
        std::vector<double>{1, 2, 0, 3, 3, -2, 0, -3, -4});
  const WeightGradients gradients = reference().conv2d_backward_weight(dy, x, weight, true, {});
  CHECK(gradients.weight.to_vector<double>() == std::vector<double>{37, 47, 67, 77});
  CHECK(gradients.bias.to_vector<double>() == std::vector<double>{10});
  CHECK_FALSE(reference().conv2d_backward_weight(dy, x, weight, false, {}).bias.defined());
}

TEMPLATE_TEST_CASE("reference conv2d and its gradients against seven loops", "[reference]", float, double) {
  const DType dtype = dtype_of<TestType>;
  const double tolerance = dtype == DType::f32 ? 2e-6 : 1e-12;
  for (const ConvCase& c : conv_cases()) {
    INFO(c.what);
    const Tensor x = normal(c.x, 1, dtype), weight = normal(c.weight, 2, dtype), bias = normal(Shape{c.weight[0]}, 3, dtype);
    const Tensor y = reference().conv2d(x, weight, bias, c.geometry);
    CHECK(y.dtype() == dtype);
    const Tensor dy = normal(y.shape(), 4, dtype);
    const std::vector<double> vx = x.to_vector<double>(), vw = weight.to_vector<double>(), vb = bias.to_vector<double>(),
                              vdy = dy.to_vector<double>();
    std::vector<double> want_y = zeros(y.shape()), want_dx = zeros(c.x), want_dw = zeros(c.weight),
                        want_db = zeros(bias.shape());
    const std::size_t plane = static_cast<std::size_t>(y.size(2) * y.size(3)), channels = vb.size();
    for (std::size_t i = 0; i < want_y.size(); ++i) {
      want_y[i] = vb[i / plane % channels];
      want_db[i / plane % channels] += vdy[i];
    }
    for_each_product(c, y.shape(), [&](std::size_t at_y, std::size_t at_x, std::size_t at_w) {
      want_y[at_y] += vx[at_x] * vw[at_w];
      want_dx[at_x] += vdy[at_y] * vw[at_w];
      want_dw[at_w] += vdy[at_y] * vx[at_x];
    });
    check_close(y, Tensor::from(want_y, y.shape()), tolerance);
    check_close(reference().conv2d_backward_input(dy, weight, c.x, c.geometry), Tensor::from(want_dx, c.x), tolerance);
    const WeightGradients gradients = reference().conv2d_backward_weight(dy, x, weight, true, c.geometry);
    CHECK(gradients.weight.dtype() == dtype);
    check_close(gradients.weight, Tensor::from(want_dw, c.weight), tolerance);
    check_close(gradients.bias, Tensor::from(want_db, bias.shape()), tolerance);
  }
}

TEST_CASE("reference conv2d gradients are adjoints", "[reference]") {
  for (const ConvCase& c : conv_cases()) {
    INFO(c.what);
    const Tensor x = normal(c.x, 5), weight = normal(c.weight, 6), y = reference().conv2d(x, weight, {}, c.geometry);
    const Tensor dy = normal(y.shape(), 7);
    const double product = inner_product(dy, y);
    CHECK(inner_product(reference().conv2d_backward_input(dy, weight, c.x, c.geometry), x) == Approx(product).epsilon(1e-11));
    CHECK(inner_product(reference().conv2d_backward_weight(dy, x, weight, false, c.geometry).weight, weight) ==
          Approx(product).epsilon(1e-11));
  }
}

TEST_CASE("reference conv2d of f32 adds in double", "[reference]") {
  const Tensor x = Tensor::from(std::vector<float>{1e8f, 1.0f, -1e8f}, Shape{1, 3, 1, 1}),
               weight = Tensor::ones(Shape{1, 3, 1, 1});
  CHECK(reference().conv2d(x, weight, {}, {}).item<double>() == 1.0);
}

TEST_CASE("reference image kernels take views and other backends' layouts", "[reference]") {
  const Tensor view = normal(Shape{2, 6, 7, 3}, 8, DType::f32).permute({0, 3, 1, 2}), dense = view.contiguous();
  REQUIRE_FALSE(view.is_contiguous());
  const Tensor weight = normal(Shape{4, 3, 3, 3}, 9, DType::f32);
  check_close(reference().conv2d(view, weight, {}, {}), reference().conv2d(dense, weight, {}, {}), 0);
  check_close(reference().max_pool2d(view, {}).output, reference().max_pool2d(dense, {}).output, 0);
  check_close(reference().avg_pool2d(view, {}), reference().avg_pool2d(dense, {}), 0);

  // Whatever layout the CPU backend answers in.
  const Tensor foreign = cpu_backend().conv2d(dense, weight, {}, {}), plain = foreign.contiguous();
  const Tensor again = normal(Shape{2, 4, 3, 3}, 10, DType::f32), ones = Tensor::ones(Shape{4});
  check_close(reference().conv2d(foreign, again, {}, {}), reference().conv2d(plain, again, {}, {}), 0);
  check_close(reference().max_pool2d(foreign, {}).output, reference().max_pool2d(plain, {}).output, 0);
  check_close(reference().batch_norm_train(foreign, ones, ones, 1e-5).output,
              reference().batch_norm_train(plain, ones, ones, 1e-5).output, 0);
  CHECK_FALSE(reference().to_layout(foreign, Layout{}).is_opaque());
}

TEMPLATE_TEST_CASE("reference max pooling", "[reference]", float, double) {
  const DType dtype = dtype_of<TestType>;
  SECTION("by hand, with the places of the winners; the first of equals wins") {
    const Tensor x = Tensor::from(std::vector<TestType>{1, 5, 2, 2, 3, 4, 2, 2, -1, -2, 9, 8, -3, -4, 7, 9}, Shape{1, 1, 4, 4});
    const MaxPoolResult result = reference().max_pool2d(x, {});
    CHECK(result.output.template to_vector<TestType>() == std::vector<TestType>{5, 2, -1, 9});
    CHECK(result.where.template to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 2, 8, 10});
    const Tensor dy = Tensor::from(std::vector<TestType>{1, 2, 3, 4}, Shape{1, 1, 2, 2});
    const Tensor dx = reference().max_pool2d_backward(dy, result.where, x, {});
    CHECK(dx.template to_vector<TestType>() == std::vector<TestType>{0, 1, 2, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0});
  }
  SECTION("padding never wins, overlapping windows add their gradients") {
    const Pool2dGeometry geometry{.kernel = {3, 3}, .stride = {1, 1}, .padding = {1, 1}};
    const Tensor x = Tensor::from(std::vector<TestType>{-5, -2, -3, -4}, Shape{1, 1, 2, 2});
    const MaxPoolResult result = reference().max_pool2d(x, geometry);
    CHECK(result.output.template to_vector<TestType>() == std::vector<TestType>{-2, -2, -2, -2});
    const Tensor dx = reference().max_pool2d_backward(Tensor::ones(Shape{1, 1, 2, 2}, dtype), result.where, x, geometry);
    CHECK(dx.template to_vector<TestType>() == std::vector<TestType>{0, 4, 0, 0});
  }
  SECTION("a NaN wins, -inf can win") {
    const Pool2dGeometry geometry{.kernel = {1, 3}, .stride = {1, 3}};
    const Tensor x =
        Tensor::from(std::vector<double>{1, kNan, 2, -kInf, -kInf, -kInf, kNan, kInf, kNan}, Shape{1, 1, 1, 9}).astype(dtype);
    const MaxPoolResult result = reference().max_pool2d(x, geometry);
    const std::vector<double> top = result.output.template to_vector<double>();
    CHECK(std::isnan(top[0]));
    CHECK(top[1] == -kInf);
    CHECK(std::isnan(top[2]));
    CHECK(result.where.template to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 3, 6});
  }
}

TEST_CASE("reference max pooling takes i32 places and is the adjoint of picking the winners", "[reference]") {
  const Pool2dGeometry geometry{.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}};
  const Tensor x = normal(Shape{2, 3, 7, 6}, 11);
  const MaxPoolResult result = reference().max_pool2d(x, geometry);
  const Tensor dy = normal(result.output.shape(), 12), dx = reference().max_pool2d_backward(dy, result.where, x, geometry);
  CHECK(inner_product(dy, result.output) == Approx(inner_product(dx, x)).epsilon(1e-12));
  check_close(reference().max_pool2d_backward(dy, result.where.astype(DType::i32), x, geometry), dx, 0);
}

TEST_CASE("reference pools against naive windows", "[reference]") {
  const std::vector<Pool2dGeometry> geometries{{},
                                               {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}},
                                               {.kernel = {2, 4}, .stride = {3, 1}, .padding = {1, 2}},
                                               {.kernel = {7, 8}, .stride = {1, 1}},
                                               {.kernel = {1, 1}, .stride = {2, 3}}};
  const Tensor x = normal(Shape{2, 3, 7, 8}, 13);
  const std::vector<double> values = x.to_vector<double>();
  for (const Pool2dGeometry& g : geometries) {
    INFO("kernel " << g.kernel[0] << " x " << g.kernel[1]);
    const Tensor top = reference().max_pool2d(x, g).output, average = reference().avg_pool2d(x, g);
    std::vector<double> want_top, want_average;
    for (std::int64_t p = 0; p < 6; ++p)
      for (std::int64_t i = 0; i < top.size(2); ++i)
        for (std::int64_t j = 0; j < top.size(3); ++j) {
          double best = -kInf, sum = 0;
          for (std::int64_t r = 0; r < g.kernel[0]; ++r)
            for (std::int64_t s = 0; s < g.kernel[1]; ++s) {
              const std::int64_t h = i * g.stride[0] + r - g.padding[0], w = j * g.stride[1] + s - g.padding[1];
              if (h < 0 || h >= 7 || w < 0 || w >= 8) continue;
              const double v = values[static_cast<std::size_t>((p * 7 + h) * 8 + w)];
              best = std::max(best, v);
              sum += v;
            }
          want_top.push_back(best);
          want_average.push_back(sum / static_cast<double>(g.kernel[0] * g.kernel[1]));
        }
    check_close(top, Tensor::from(want_top, top.shape()), 0);
    check_close(average, Tensor::from(want_average, top.shape()), 1e-14);
    const Tensor dy = normal(average.shape(), 14);
    CHECK(inner_product(dy, average) == Approx(inner_product(reference().avg_pool2d_backward(dy, x, g), x)).epsilon(1e-11));
  }
}

TEST_CASE("reference average pooling counts the padding", "[reference]") {
  const Pool2dGeometry geometry{.kernel = {2, 2}, .stride = {2, 2}, .padding = {1, 1}};
  const Tensor x = Tensor::from(std::vector<double>{4, 8, 12, 16}, Shape{1, 1, 2, 2});
  CHECK(reference().avg_pool2d(x, geometry).to_vector<double>() == std::vector<double>{1, 2, 3, 4});
  const Tensor dy = Tensor::from(std::vector<double>{4, 8, 12, 16}, Shape{1, 1, 2, 2});
  CHECK(reference().avg_pool2d_backward(dy, x, geometry).to_vector<double>() == std::vector<double>{1, 2, 3, 4});
}

TEMPLATE_TEST_CASE("reference batch norm by hand", "[reference]", float, double) {
  const DType dtype = dtype_of<TestType>;
  const double tolerance = dtype == DType::f32 ? 1e-6 : 1e-14;
  // Channel 0: mean 3, variance 5; channel 1 is constant.
  const Tensor x = Tensor::from(std::vector<TestType>{0, 2, 7, 7, 4, 6, 7, 7}, Shape{2, 2, 1, 2});
  const Tensor gamma = Tensor::from(std::vector<TestType>{2, 3}), beta = Tensor::from(std::vector<TestType>{1, -1});
  const BatchNormResult result = reference().batch_norm_train(x, gamma, beta, 4);  // sqrt(5 + 4) = 3
  CHECK(result.mean.template to_vector<TestType>() == std::vector<TestType>{3, 7});
  CHECK(result.variance.template to_vector<TestType>() == std::vector<TestType>{5, 0});
  check_close(result.output, Tensor::from(std::vector<double>{-1, 1 - 2.0 / 3, -1, -1, 1 + 2.0 / 3, 3, -1, -1}, x.shape()),
              tolerance);
  const Tensor mean = Tensor::from(std::vector<TestType>{1, 2}), variance = Tensor::from(std::vector<TestType>{0, 21});
  check_close(reference().batch_norm_eval(x, gamma, beta, mean, variance, 4),
              Tensor::from(std::vector<double>{0, 2, 2, 2, 4, 6, 2, 2}, x.shape()), tolerance);
}

TEST_CASE("reference batch norm keeps its digits far from zero", "[reference]") {
  const Tensor x = Tensor::from(std::vector<float>{100000, 100001, 100002, 100003}, Shape{4, 1, 1, 1});
  const BatchNormResult result = reference().batch_norm_train(x, Tensor::ones(Shape{1}), Tensor::zeros(Shape{1}), 0);
  CHECK(result.variance.item<double>() == 1.25);
}

TEST_CASE("reference batch norm gradients against central differences", "[reference]") {
  const Shape shape{3, 2, 4, 5}, channels{2};
  const double eps = 1e-5, step = 1e-6;
  const Tensor x = normal(shape, 15), gamma = normal(channels, 16), beta = normal(channels, 17), dy = normal(shape, 18);
  const BatchNormResult at = reference().batch_norm_train(x, gamma, beta, eps);
  const BatchNormGradients gradients = reference().batch_norm_backward(dy, x, gamma, at.mean, at.variance, eps);
  const auto slope = [&](const Tensor& parameter, std::size_t index, auto loss) {
    std::vector<double> up = parameter.to_vector<double>(), down = up;
    up[index] += step;
    down[index] -= step;
    return (loss(Tensor::from(up, parameter.shape())) - loss(Tensor::from(down, parameter.shape()))) / (2 * step);
  };
  const auto loss = [&](const Tensor& a, const Tensor& b, const Tensor& c) {
    return inner_product(dy, reference().batch_norm_train(a, b, c, eps).output);
  };
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape.numel()); ++i)
    CHECK(gradients.input.to_vector<double>()[i] ==
          Approx(slope(x, i, [&](const Tensor& t) { return loss(t, gamma, beta); })).epsilon(1e-6).margin(1e-7));
  for (std::size_t c = 0; c < 2; ++c) {
    CHECK(gradients.gamma.to_vector<double>()[c] ==
          Approx(slope(gamma, c, [&](const Tensor& t) { return loss(x, t, beta); })).epsilon(1e-7));
    CHECK(gradients.beta.to_vector<double>()[c] ==
          Approx(slope(beta, c, [&](const Tensor& t) { return loss(x, gamma, t); })).epsilon(1e-7));
  }
}
