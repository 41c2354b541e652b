// The oneDNN backend against the reference loops, and its promises: layouts travel, nothing is compiled or allocated twice.
#include "tests/catch_compat.h"

#ifdef HEFT_ONEDNN

#include <cmath>
#include <limits>
#include <thread>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/simd.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/ops.h"
#include "core/parallel.h"

using namespace heft;

namespace {

Backend& fast() { return onednn_backend(); }
Backend& plain() { return reference_backend(); }

Tensor numbers(const Shape& shape, std::uint64_t stream) {
  return random_normal(shape, 0, 1, DType::f32, Device::cpu(), RandomKey{7, stream, 0});
}

// max |a - b| / (1 + max |b|): absolute for small results, relative to the largest for others.
double error(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    largest = std::max(largest, std::abs(y[i]));
    worst = std::max(worst, std::isfinite(x[i]) ? std::abs(x[i] - y[i]) : HUGE_VAL);
  }
  return worst / (1 + largest);
}

// Everything the buffer holds beyond the shape: 0 where padding is as it must be.
double buffer_sum(const Tensor& x) {
  const auto* p = static_cast<const float*>(x.raw());
  double sum = 0;
  for (std::int64_t i = 0; i < x.buffer_elements(); ++i) sum += std::abs(p[i]);
  return sum;
}
double value_sum(const Tensor& x) {
  double sum = 0;
  for (const double v : x.to_vector<double>()) sum += std::abs(v);
  return sum;
}

struct ConvCase {
  Shape x, weight;
  Conv2dGeometry geometry;
};

std::vector<ConvCase> conv_cases() {
  return {
      {{2, 1, 28, 28}, {6, 1, 5, 5}, {.padding = {2, 2}}},
      {{2, 6, 14, 14}, {16, 6, 5, 5}, {}},
      {{3, 3, 17, 13}, {16, 3, 3, 3}, {.padding = {1, 1}}},
      {{2, 16, 16, 16}, {16, 16, 3, 3}, {.padding = {1, 1}}},
      {{2, 16, 16, 16}, {32, 16, 3, 3}, {.stride = {2, 2}, .padding = {1, 1}}},
      {{2, 16, 16, 16}, {32, 16, 1, 1}, {.stride = {2, 2}}},
      {{2, 20, 9, 11}, {20, 20, 3, 3}, {.padding = {1, 1}}},
      {{2, 20, 9, 11}, {7, 20, 3, 2}, {.stride = {2, 1}, .padding = {2, 1}}},
      {{2, 16, 15, 15}, {16, 16, 3, 3}, {.padding = {2, 2}, .dilation = {2, 2}}},
      {{2, 3, 15, 14}, {6, 3, 3, 3}, {.padding = {3, 1}, .dilation = {3, 2}}},
      {{2, 16, 10, 10}, {32, 8, 3, 3}, {.padding = {1, 1}, .groups = 2}},
      {{2, 6, 10, 9}, {12, 2, 3, 3}, {.stride = {2, 2}, .padding = {1, 1}, .groups = 3}},
      {{2, 16, 12, 12}, {16, 1, 3, 3}, {.padding = {1, 1}, .groups = 16}},
      {{2, 20, 12, 12}, {20, 1, 3, 3}, {.stride = {2, 2}, .padding = {1, 1}, .groups = 20}},
      {{2, 6, 7, 7}, {18, 1, 3, 3}, {.padding = {1, 1}, .groups = 6}},
      {{1, 16, 1, 1}, {10, 16, 1, 1}, {}},
      {{5, 16, 8, 8}, {64, 16, 8, 8}, {}},
      // By Winograd's minimal filtering.
      {{4, 16, 32, 32}, {16, 16, 3, 3}, {.padding = {1, 1}}},
      {{30, 16, 8, 8}, {48, 16, 3, 3}, {.padding = {1, 1}}},
      {{9, 48, 15, 14}, {16, 48, 3, 3}, {.padding = {2, 0}}},
      {{7, 32, 17, 18}, {32, 32, 3, 3}, {}},
      // With images in lanes.
      {{16, 1, 12, 11}, {6, 1, 5, 5}, {.padding = {2, 2}}},
      {{32, 6, 7, 9}, {16, 6, 5, 5}, {}},
      {{31, 3, 7, 8}, {5, 3, 3, 3}, {.padding = {1, 1}}},
      {{13, 9, 6, 5}, {4, 9, 2, 4}, {.padding = {1, 3}}},
      {{16, 5, 3, 3}, {9, 5, 1, 1}, {}},
      {{300, 2, 4, 4}, {1, 2, 4, 4}, {}},
      // With the pixels of a row in lanes.
      {{1, 1, 28, 28}, {6, 1, 5, 5}, {.padding = {2, 2}}},
      {{3, 6, 7, 40}, {5, 6, 3, 3}, {.padding = {0, 1}}},
  };
}

}  // namespace

TEST_CASE("cpu: convolution and its gradients equal the reference", "[cpu][conv2d][simd]") {
  for (const ConvCase& c : conv_cases()) {
    const auto& g = c.geometry;
    INFO("x " << c.x.str() << ", weight " << c.weight.str() << ", groups " << g.groups);
    const Tensor x = numbers(c.x, 1), w = numbers(c.weight, 2), b = numbers(Shape{c.weight[0]}, 3);
    const Tensor y = fast().conv2d(x, w, b, g);
    CHECK(error(y, plain().conv2d(x, w, b, g)) < 2e-6);
    CHECK(error(fast().conv2d(x, w, {}, g), plain().conv2d(x, w, {}, g)) < 2e-6);

    // The weight in the layout the convolution wants, the input and gradient in whatever they come.
    const Tensor prepared = fast().conv2d_prepare_weight(w, x, g), dy = numbers(y.shape(), 4);
    CHECK(error(prepared, w) == 0);
    CHECK(error(fast().conv2d(x, prepared, b, g), y) == 0);
    for (const Tensor& weight : {w, prepared})
      for (const Tensor& seed : {dy, fast().to_layout(dy, y.layout())}) {
        const Tensor dx = fast().conv2d_backward_input(seed, weight, c.x, g);
        CHECK(error(dx, plain().conv2d_backward_input(dy, w, c.x, g)) < 2e-6);
        const WeightGradients got = fast().conv2d_backward_weight(seed, x, weight, true, g);
        const WeightGradients expected = plain().conv2d_backward_weight(dy, x, w, true, g);
        CHECK(got.weight.layout() == weight.layout());
        CHECK(error(got.weight, expected.weight) < 5e-6);
        CHECK(error(got.bias, expected.bias) < 5e-6);
        CHECK_FALSE(fast().conv2d_backward_weight(seed, x, weight, false, g).bias.defined());
        for (const Tensor& t : {y, dx, got.weight}) CHECK(buffer_sum(t) == Approx(value_sum(t)));
      }
  }
}

TEST_CASE("cpu: the number of threads changes no bit of the convolutions of our own", "[cpu][conv2d][simd]") {
  const int threads = num_threads();
  const ConvCase cases[] = {{{40, 3, 9, 9}, {6, 3, 5, 5}, {.padding = {2, 2}}},
                            {{2, 6, 9, 21}, {5, 6, 3, 3}, {}},
                            {{33, 16, 13, 12}, {32, 16, 3, 3}, {.padding = {1, 1}}}};
  for (const ConvCase& c : cases) {
    if (c.weight[1] == 16 && simd::isa() == simd::Isa::plain) continue;  // oneDNN's
    const Tensor x = numbers(c.x, 1), w = numbers(c.weight, 2), b = numbers(Shape{c.weight[0]}, 3);
    const Tensor dy = numbers(conv2d_shape(c.x, c.weight, c.geometry), 4);
    const auto run = [&](int n) {
      set_num_threads(n);
      std::vector<Tensor> all = {fast().conv2d_relu(x, w, b, c.geometry)};
      if (c.x[0] <= 4) return all;  // the gradients for a few images are oneDNN's
      const WeightGradients d = fast().conv2d_backward_weight(dy, x, w, true, c.geometry);
      for (const Tensor& t : {fast().conv2d_backward_input(dy, w, c.x, c.geometry), d.weight, d.bias}) all.push_back(t);
      return all;
    };
    const std::vector<Tensor> one = run(1);
    for (const int n : {2, 3}) {
      const std::vector<Tensor> several = run(n);
      for (std::size_t i = 0; i < one.size(); ++i) CHECK(several[i].to_vector<float>() == one[i].to_vector<float>());
    }
  }
  set_num_threads(threads);
}

TEST_CASE("cpu: linear layers of a few rows equal the reference", "[cpu][linear][simd]") {
  for (const std::int64_t n : {1, 3, 4, 5})
    for (const std::int64_t k : {1, 7, 84, 400})
      for (const std::int64_t m : {1, 10, 131}) {
        INFO(n << " x " << k << " -> " << m);
        const Tensor x = numbers({n, k}, 1), w = numbers({m, k}, 2), b = numbers({m}, 3);
        CHECK(error(fast().linear(x, w, b), plain().linear(x, w, b)) < 2e-6);
        CHECK(error(fast().linear_relu(x, w, {}), plain().linear_relu(x, w, {})) < 2e-6);
      }
}

TEST_CASE("cpu: where images lie in lanes, a NaN wins its window and no other", "[cpu][pool2d][simd]") {
  const Shape shape{16, 6, 6, 6};
  Tensor x = numbers(shape, 1);
  x.slice(0, 5, 6).slice(1, 2, 3).slice(2, 3, 4).slice(3, 0, 1).fill_(std::numeric_limits<double>::quiet_NaN());
  x.slice(0, 6, 7).fill_(-std::numeric_limits<double>::infinity());
  Tensor identity = Tensor::zeros({6, 6, 1, 1});
  for (std::int64_t i = 0; i < 6; ++i) identity.slice(0, i, i + 1).slice(1, i, i + 1).fill_(1);
  const Layout lanes = fast().conv2d(numbers(shape, 2), identity, {}, {}).layout();
  REQUIRE(lanes.is_opaque());
  const Tensor inside = fast().to_layout(x, lanes);
  const MaxPoolResult got = fast().max_pool2d(inside, {}), want = plain().max_pool2d(x, {});
  const std::vector<float> a = got.output.to_vector<float>(), b = want.output.to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(((std::isnan(a[i]) && std::isnan(b[i])) || a[i] == b[i]));
  const Tensor dy = Tensor::ones(got.output.shape());
  CHECK(error(fast().max_pool2d_backward(dy, got.where, inside, {}), plain().max_pool2d_backward(dy, want.where, x, {})) == 0);
}

TEST_CASE("cpu: in windows of 2 x 2 of a few images a NaN wins, the first of several", "[cpu][pool2d][simd]") {
  const Shape shape{1, 3, 6, 46};
  Tensor x = numbers(shape, 1);
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t j : {0, 7, 18, 33, 40, 45}) x.slice(2, 1, 2).slice(3, j, j + 1).fill_(nan);
  x.slice(2, 0, 1).slice(3, 18, 19).fill_(nan);
  x.slice(2, 1, 2).slice(3, 32, 33).fill_(nan);
  x.slice(1, 1, 2).slice(2, 2, 4).fill_(-infinity);
  x.slice(1, 2, 3).slice(2, 2, 4).fill_(1);  // all equal: the first wins
  const MaxPoolResult got = fast().max_pool2d(x, {}), want = plain().max_pool2d(x, {});
  const std::vector<float> a = got.output.to_vector<float>(), b = want.output.to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(((std::isnan(a[i]) && std::isnan(b[i])) || a[i] == b[i]));
  const Tensor dy = numbers(got.output.shape(), 3);
  CHECK(error(fast().max_pool2d_backward(dy, got.where, x, {}), plain().max_pool2d_backward(dy, want.where, x, {})) == 0);
}

TEST_CASE("cpu: pooling and its gradients equal the reference in every layout", "[cpu][pool2d][simd]") {
  const std::vector<std::pair<Shape, Pool2dGeometry>> cases = {
      {{2, 16, 8, 8}, {}},
      {{1, 6, 28, 28}, {}},
      {{3, 2, 71, 70}, {}},
      {{2, 6, 9, 7}, {.kernel = {3, 2}, .stride = {2, 1}}},
      {{3, 20, 11, 11}, {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}},
      {{2, 64, 8, 8}, {.kernel = {8, 8}, .stride = {8, 8}}},
      {{2, 1, 5, 5}, {.kernel = {2, 2}, .stride = {1, 1}, .padding = {1, 1}}},
      {{2, 3, 40, 40}, {.kernel = {20, 20}, .stride = {20, 20}}},
      // With images in lanes.
      {{16, 6, 8, 8}, {}},
      {{47, 5, 9, 7}, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}}},
      {{13, 3, 5, 6}, {.kernel = {2, 2}, .stride = {3, 3}}},
  };
  for (const auto& [shape, g] : cases) {
    INFO("x " << shape.str());
    // A 1 x 1 convolution's output, to have x as a network would.
    const Conv2dGeometry one;
    const Tensor w = numbers(Shape{shape[1], shape[1], 1, 1}, 5), conv = fast().conv2d(numbers(shape, 6), w, {}, one);
    const Tensor dense = conv.contiguous();
    for (const Tensor& x : {dense, conv}) {
      const MaxPoolResult top = fast().max_pool2d(x, g), expected = plain().max_pool2d(dense, g);
      CHECK(error(top.output, expected.output) == 0);
      CHECK(top.output.is_opaque() == x.is_opaque());
      const Tensor dy = numbers(top.output.shape(), 7);
      const Tensor dx = fast().max_pool2d_backward(dy, top.where, x, g);
      CHECK(error(dx, plain().max_pool2d_backward(dy, expected.where, dense, g)) < 1e-6);
      const Tensor mean = fast().avg_pool2d(x, g);
      CHECK(error(mean, plain().avg_pool2d(dense, g)) < 1e-6);
      const Tensor dmean = fast().avg_pool2d_backward(dy, x, g);
      CHECK(error(dmean, plain().avg_pool2d_backward(dy, dense, g)) < 1e-6);
      const Tensor form = Tensor::form_of(x);
      CHECK(error(fast().max_pool2d_backward(dy, top.where, form, g), dx) == 0);
      CHECK(error(fast().avg_pool2d_backward(dy, form, g), dmean) == 0);
      for (const Tensor& t : {top.output, dx, mean, dmean}) CHECK(buffer_sum(t) == Approx(value_sum(t)));
    }
  }
}

TEST_CASE("cpu: batch norm and its gradients equal the reference in every layout", "[cpu][batch_norm]") {
  for (const Shape& shape :
       {Shape{4, 16, 8, 8}, Shape{3, 6, 5, 7}, Shape{8, 20, 3, 3}, Shape{16, 3, 1, 1}, Shape{4, 1, 6, 6}}) {
    INFO("x " << shape.str());
    const std::int64_t c = shape[1];
    const Tensor w = numbers(Shape{c, c, 1, 1}, 8), conv = fast().conv2d(numbers(shape, 9), w, {}, {}),
                 dense = conv.contiguous();
    const Tensor gamma = numbers(Shape{c}, 10), beta = numbers(Shape{c}, 11), dy = numbers(shape, 12);
    const BatchNormResult expected = plain().batch_norm_train(dense, gamma, beta, 1e-5);
    for (const Tensor& x : {dense, conv}) {
      const BatchNormResult got = fast().batch_norm_train(x, gamma, beta, 1e-5);
      CHECK(got.output.layout() == x.layout());
      CHECK(error(got.output, expected.output) < 5e-6);
      CHECK(error(got.mean, expected.mean) < 1e-6);
      CHECK(error(got.variance, expected.variance) < 2e-6);
      const Tensor eval = fast().batch_norm_eval(x, gamma, beta, beta, expected.variance, 1e-5);
      CHECK(error(eval, plain().batch_norm_eval(dense, gamma, beta, beta, expected.variance, 1e-5)) < 5e-6);
      const BatchNormGradients d = fast().batch_norm_backward(dy, x, gamma, got.mean, got.variance, 1e-5);
      const BatchNormGradients e = plain().batch_norm_backward(dy, dense, gamma, expected.mean, expected.variance, 1e-5);
      CHECK(error(d.input, e.input) < 1e-5);
      CHECK(error(d.gamma, e.gamma) < 1e-5);
      CHECK(error(d.beta, e.beta) < 1e-5);
      for (const Tensor& t : {got.output, eval, d.input}) CHECK(buffer_sum(t) == Approx(value_sum(t)));
    }
  }
}

TEST_CASE("cpu: matrix products equal the reference", "[cpu][matmul]") {
  struct Case {
    std::int64_t batch_a, batch_b, m, k, n;
  };
  for (const Case& c : {Case{1, 1, 1, 1, 1}, Case{1, 1, 128, 784, 10}, Case{1, 1, 33, 65, 17}, Case{3, 3, 5, 7, 4},
                        Case{1, 4, 6, 5, 3}, Case{4, 1, 6, 5, 3}, Case{1, 1, 1, 300, 5}, Case{2, 2, 64, 64, 64}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        INFO(c.batch_a << "x" << c.m << "x" << c.k << " by " << c.batch_b << "x" << c.k << "x" << c.n << ", " << ta << tb);
        const Tensor a = numbers(ta ? Shape{c.batch_a, c.k, c.m} : Shape{c.batch_a, c.m, c.k}, 13);
        const Tensor b = numbers(tb ? Shape{c.batch_b, c.n, c.k} : Shape{c.batch_b, c.k, c.n}, 14);
        CHECK(error(fast().matmul(a, b, ta, tb), plain().matmul(a, b, ta, tb)) < 2e-6);
      }
  for (const Shape& s : {Shape{128, 400, 120}, Shape{1, 5, 1}, Shape{64, 84, 10}}) {
    const Tensor x = numbers(Shape{s[0], s[1]}, 15), w = numbers(Shape{s[2], s[1]}, 16), b = numbers(Shape{s[2]}, 17);
    CHECK(error(fast().linear(x, w, b), plain().linear(x, w, b)) < 2e-6);
    CHECK(error(fast().linear(x, w, {}), plain().linear(x, w, {})) < 2e-6);
  }
}

TEST_CASE("cpu: reductions and softmax equal the reference", "[cpu][reduce]") {
  for (const Shape& s : {Shape{1, 1, 1}, Shape{128, 10, 1}, Shape{1, 128, 10}, Shape{1, 300000, 1}, Shape{3, 70000, 1},
                         Shape{1, 40000, 64}, Shape{4, 33, 49}, Shape{2, 40, 40000}, Shape{5, 31, 1}, Shape{7, 1, 3}}) {
    INFO("x " << s.str());
    const Tensor x = numbers(s, 18);
    CHECK(error(fast().reduce(Reduction::sum, x), plain().reduce(Reduction::sum, x)) < 2e-6);
    CHECK(error(fast().reduce(Reduction::max, x), plain().reduce(Reduction::max, x)) == 0);
    CHECK(error(fast().reduce(Reduction::min, x), plain().reduce(Reduction::min, x)) == 0);
    for (const bool log : {false, true}) {
      const Tensor y = plain().softmax(x, log), dy = numbers(s, 19);
      CHECK(error(fast().softmax(x, log), y) < 2e-6);
      CHECK(error(fast().softmax_backward(y, dy, log), plain().softmax_backward(y, dy, log)) < 5e-6);
    }
  }
  Tensor holed = numbers(Shape{3, 100, 5}, 20);
  holed.mutable_data<float>()[250] = std::nanf("");
  for (const Reduction op : {Reduction::sum, Reduction::max, Reduction::min})
    CHECK(std::isnan(fast().reduce(op, holed).to_vector<double>()[0]));
  CHECK(fast().reduce(Reduction::sum, Tensor::from<std::int64_t>({1, 2, 3}, {1, 3, 1})).item<std::int64_t>() == 6);
}

TEST_CASE("cpu: to_layout and back gives the same values, padding included", "[cpu][layout]") {
  for (const std::int64_t channels : {1, 3, 6, 16, 20}) {
    INFO(channels << " channels");
    const Tensor x = numbers(Shape{2, channels, 5, 7}, 21);
    const Layout layout = fast().conv2d(x, numbers(Shape{channels, channels, 3, 3}, 22), {}, {.padding = {1, 1}}).layout();
    const Tensor y = fast().to_layout(x, layout);
    CHECK(y.layout() == layout);
    CHECK(error(y.contiguous(), x) == 0);
    CHECK(buffer_sum(y) == Approx(value_sum(x)));
    CHECK(error(fast().to_layout(x.transpose(2, 3), Layout{}), x.transpose(2, 3).contiguous()) == 0);
    CHECK_FALSE(layout.str().empty());
    if (layout.is_opaque()) {
      CHECK(layout != Layout{});
      CHECK(&layout.opaque()->owner() == &fast());
      CHECK_THROWS_AS(fast().to_layout(x.astype(DType::f64), layout), DTypeError);
    }
  }
}

namespace {

// conv -> batch norm -> relu -> + shortcut -> max pool -> conv, forward and backward.
struct Step {
  Tensor x = numbers({8, 16, 16, 16}, 30), w1, w2, gamma = numbers({16}, 31), beta = numbers({16}, 32);
  Conv2dGeometry g{.padding = {1, 1}};

  Step() {
    x = conv2d(x, numbers({16, 16, 1, 1}, 33));
    w1 = conv2d_prepare_weight(numbers({16, 16, 3, 3}, 34), x, g);
    w2 = conv2d_prepare_weight(numbers({32, 16, 3, 3}, 35), Tensor::empty({8, 16, 8, 8}), g);
  }
  Tensor forward() const {
    const Tensor h = batch_norm_train(conv2d(x, w1, {}, g), gamma, beta, 1e-5).output;
    return conv2d(max_pool2d(unary<fn::Relu>(h) + x, {}).output, w2, {}, g);
  }
  // The gradient of the sum of squares of the output, halved, with respect to x, w1 and w2.
  std::vector<Tensor> run() const {
    const Tensor c = conv2d(x, w1, {}, g);
    const BatchNormResult n = batch_norm_train(c, gamma, beta, 1e-5);
    const Tensor r = unary<fn::Relu>(n.output), s = r + x;
    const MaxPoolResult p = max_pool2d(s, {});
    const Tensor y = conv2d(p.output, w2, {}, g);
    const Tensor dp = conv2d_backward_input(y, w2, p.output.shape(), g);
    const Tensor dw2 = conv2d_backward_weight(y, p.output, w2, false, g).weight;
    const Tensor ds = max_pool2d_backward(dp, p.where, s, {});
    const Tensor dn = unary_backward<fn::Relu>(n.output, r, ds);
    const Tensor dc = batch_norm_backward(dn, c, gamma, n.mean, n.variance, 1e-5).input;
    const Tensor dx = conv2d_backward_input(dc, w1, x.shape(), g);
    return {y, ds + dx, conv2d_backward_weight(dc, x, w1, false, g).weight, dw2};
  }
};

}  // namespace

TEST_CASE("cpu: layouts travel through a network without a reorder", "[cpu][layout]") {
  const Step step;
  const std::uint64_t before = onednn::counters().reorders;
  step.forward();
  CHECK(onednn::counters().reorders == before);

  const std::vector<Tensor> got = step.run();
  std::vector<Tensor> expected;
  {
    const BackendScope scope(plain());
    expected = step.run();
  }
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(error(got[i], expected[i]) < 1e-5);
}

TEST_CASE("cpu: a repeated step compiles nothing, allocates nothing and gives the same bits", "[cpu][cache]") {
  const Step step;
  std::vector<std::vector<float>> first;
  for (const Tensor& t : step.run()) first.push_back(t.to_vector<float>());
  step.run();
  const std::uint64_t created = onednn::counters().primitives_created, before = onednn::counters().reorders;
  const std::vector<Tensor> again = step.run();
  CHECK(onednn::counters().primitives_created == created);
  // At most the two weights, for the gradient of their convolution's input.
  CHECK(onednn::counters().reorders - before <= 2);
  for (std::size_t i = 0; i < again.size(); ++i) CHECK(again[i].to_vector<float>() == first[i]);
  // In the steady state, which comes when every thread has had its share of the work while the others had theirs: on a busy
  // machine not in the first steps.
  bool steady = false;
  for (int i = 0; i < 50 && !steady; ++i) {
    const std::uint64_t allocated = memory_stats().system_allocations;
    step.run();
    steady = memory_stats().system_allocations == allocated;
  }
  CHECK(steady);
}

TEST_CASE("cpu: the primitive cache stays within its capacity", "[cpu][cache]") {
  const std::size_t capacity = onednn::primitive_cache_capacity();
  CHECK(capacity == 256);
  onednn::set_primitive_cache_capacity(8);
  CHECK(onednn::primitive_cache_size() <= 8);
  const Tensor w = numbers({4, 3, 3, 3}, 40);
  for (std::int64_t n = 1; n <= 40; ++n) {
    const Tensor x = numbers({n, 3, 6, 6}, 41);
    CHECK(error(fast().conv2d(x, w, {}, {}), plain().conv2d(x, w, {}, {})) < 2e-6);
    CHECK(onednn::primitive_cache_size() <= 8);
  }
  // The least recently used goes first.
  const auto run = [&](std::int64_t n) {
    const std::uint64_t created = onednn::counters().primitives_created;
    fast().linear(Tensor::ones({n + 8, 4}), Tensor::ones({2, 4}), {});
    return onednn::counters().primitives_created - created;
  };
  for (std::int64_t n = 1; n <= 8; ++n) run(n);
  CHECK(run(1) == 0);
  CHECK(run(9) == 1);
  CHECK(run(1) == 0);
  CHECK(run(2) == 1);
  onednn::set_primitive_cache_capacity(capacity);
  CHECK(test::contains(test::message_of<ValueError>([] { onednn::set_primitive_cache_capacity(0); }), "at least 1"));
}

TEST_CASE("cpu: threads share the cache, even one too small for them", "[cpu][cache]") {
  const std::size_t capacity = onednn::primitive_cache_capacity();
  onednn::set_primitive_cache_capacity(2);
  const Tensor w = numbers({6, 3, 3, 3}, 60);
  std::vector<Tensor> x, expected;
  for (std::int64_t n = 1; n <= 4; ++n) {
    x.push_back(numbers({n, 3, 9, 9}, 61));
    expected.push_back(plain().conv2d(x.back(), w, {}, {}));
  }
  std::vector<double> worst(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < worst.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 20; ++i) {
        const std::size_t k = (t + i) % x.size();
        const std::vector<float> got = fast().conv2d(x[k], w, {}, {}).contiguous().to_vector<float>();
        const std::vector<float> want = expected[k].to_vector<float>();
        for (std::size_t j = 0; j < got.size(); ++j) worst[t] = std::max<double>(worst[t], std::abs(got[j] - want[j]));
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const double e : worst) CHECK(e < 1e-4);
  CHECK(onednn::primitive_cache_size() <= 2);
  onednn::set_primitive_cache_capacity(capacity);
}

TEST_CASE("cpu: another thread count is another primitive and the same result to rounding", "[cpu][cache]") {
  const Tensor x = numbers({4, 16, 12, 12}, 50), w = numbers({16, 16, 3, 3}, 51);
  const Tensor many = fast().conv2d(x, w, {}, {});
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor one = fast().conv2d(x, w, {}, {});
  set_num_threads(threads);
  CHECK(error(one, many) < 2e-6);
}

#endif
