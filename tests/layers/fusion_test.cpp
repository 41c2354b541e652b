// Operations that run as one where the device can are what they consist of: on a CPU to the last bit.
#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "autograd/jvp.h"
#include "autograd/linalg.h"
#include "autograd/norm.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "autograd/trace.h"
#include "core/error.h"
#include "core/ops.h"
#include "cuda/cuda.h"
#include "layers/activation.h"
#include "layers/conv.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/loss_terms.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "layers/norm.h"
#include "layers/sequential.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;

namespace {

// Results, the derivative along a direction, running statistics and gradients of relu(batch_norm(conv(x)) + residual).
std::vector<Tensor> normed(bool fused, bool with_residual, DType dtype) {
  Variable x(normal({3, 8, 5, 4}, 1, dtype), true), weight(normal({12, 8, 3, 3}, 2, dtype), true),
      gamma(normal({12}, 3, dtype), true), beta(normal({12}, 4, dtype), true), skipped(normal({3, 12, 3, 2}, 5, dtype), true);
  Tensor mean = normal({12}, 6, dtype), variance = mean * mean + 1;
  const Variable c = conv2d(x, weight);
  Variable y;
  if (fused) {
    y = batch_norm_relu(c, gamma, beta, mean, variance, true, with_residual ? skipped : Variable());
  } else {
    const BatchNormResult r = batch_norm_train(c.value(), gamma.value(), beta.value(), 1e-5);
    const Tensor blended_mean = mean * 0.9 + r.mean * 0.1, blended = variance * 0.9 + (r.variance * (18.0 / 17)) * 0.1;
    y = batch_norm(c, gamma, beta, mean, variance, true);
    check_close(mean, blended_mean, 0);
    check_close(variance, blended, 0);
    y = relu(with_residual ? y + skipped : y);
  }
  std::vector<Tensor> all = {y.value(), mean, variance,
                             jvp(y, {{x, normal(x.shape(), 7, dtype)}, {beta, normal({12}, 8, dtype)}})};
  backward(y, normal(y.shape(), 9, dtype));
  for (const Variable& leaf : {x, weight, gamma, beta}) all.push_back(leaf.grad());
  if (with_residual) all.push_back(skipped.grad());
  return all;
}

}  // namespace

TEST_CASE("batch_norm_relu is relu(batch_norm + residual) to the last bit", "[norm]") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const bool with_residual : {false, true}) {
      const std::vector<Tensor> got = normed(true, with_residual, dtype), want = normed(false, with_residual, dtype);
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("result " << i);
        check_close(got[i], want[i], 0);
      }
    }
}

TEST_CASE("batch_norm_relu refuses a residual of another shape and is seen as what it consists of", "[norm]") {
  Tensor mean = Tensor::zeros({2}), variance = Tensor::ones({2});
  const Tensor x = normal({3, 2, 2, 2}, 1, DType::f32), one = Tensor::ones({2});
  const auto apply = [&](const Variable& residual) { return batch_norm_relu(x, one, one, mean, variance, true, residual); };
  CHECK(contains(message_of<ShapeError>([&] {
                   apply(Tensor::ones({1, 2, 1, 1}));
                 }),
                 "expected a residual of shape (3, 2, 2, 2)"));
  check_close(mean, Tensor::zeros({2}), 0);  // nothing has happened
  std::vector<std::string> seen;
  const OperationObserver observer([&](const Operation& operation) { seen.emplace_back(operation.op); });
  apply(x);
  CHECK(seen == std::vector<std::string>{"batch_norm", "add", "relu"});
}

TEST_CASE("Without gradients a convolution in evaluation normalises as it writes, to the last bit", "[layers][norm][simd]") {
  // Of many tiles, of tiles that reach beyond the image, of few channels, of few images.
  for (const Shape& shape : {Shape{16, 16, 16, 16}, Shape{60, 16, 9, 7}, Shape{32, 3, 8, 8}, Shape{1, 16, 6, 6}})
    for (const DType dtype : {DType::f32, DType::f64})
      for (const bool with_residual : {false, true}) {
        INFO(shape.str() << (with_residual ? ", residual" : ""));
        const auto of = [&](std::int64_t seed) { return normal({32}, seed, dtype); };
        const Tensor x = normal(shape, 1, dtype), weight = normal({32, shape[1], 3, 3}, 2, dtype);
        Variable gamma(of(3), true), beta = of(4);
        Tensor mean = of(5), variance = mean * mean + 0.5;
        const Conv2dGeometry same{.padding = {1, 1}};
        const Variable residual = with_residual ? Variable(normal({shape[0], 32, shape[2], shape[3]}, 6, dtype)) : Variable();
        const auto fused = [&] { return conv2d_batch_norm_relu(x, weight, same, gamma, beta, mean, variance, residual); };
        const Variable normed = batch_norm(conv2d(x, weight, {}, same), gamma, beta, mean, variance, false),
                       want = relu(with_residual ? normed + residual : normed);
        const Tensor before = mean.clone();
        {
          const NoGrad no_grad;
          check_close(fused().value(), want.value(), 0);
        }
        check_close(mean, before, 0);
        backward(fused(), Tensor::ones(want.shape(), dtype));  // with gradients
        const Tensor got = gamma.grad();
        gamma.zero_grad();
        backward(want, Tensor::ones(want.shape(), dtype));
        check_close(got, gamma.grad(), 0);
      }
}

TEST_CASE("A convolution that normalises refuses what its parts refuse, and is seen as them", "[layers][norm]") {
  Tensor mean = Tensor::zeros({2}), variance = Tensor::ones({2});
  const Tensor x = Tensor::ones({3, 4, 5, 5}), weight = Tensor::ones({2, 4, 3, 3}), one = Tensor::ones({2});
  const auto apply = [&](const Tensor& w, const Tensor& gamma, const Variable& residual) {
    return conv2d_batch_norm_relu(x, w, {}, gamma, one, mean, variance, residual);
  };
  CHECK(contains(message_of<ShapeError>([&] {
                   apply(weight, one, Tensor::ones({3, 2, 5, 5}));
                 }),
                 "expected a residual of shape (3, 2, 3, 3); got (3, 2, 5, 5)"));
  CHECK(contains(message_of<ShapeError>([&] { apply(weight, Tensor::ones({4}), {}); }),
                 "expected gamma of shape (2,) for input (3, 2, 3, 3); got (4,)"));
  CHECK_THROWS_AS(apply(Tensor::ones({2, 5, 3, 3}), one, {}), ShapeError);
  std::vector<std::string> seen;
  const OperationObserver observer([&](const Operation& operation) { seen.emplace_back(operation.op); });
  apply(weight, one, Tensor::ones({3, 2, 3, 3}));
  CHECK(seen == std::vector<std::string>{"conv2d", "batch_norm", "add", "relu"});
}

TEST_CASE("In evaluation a network's result is the same whether anybody watches its modules or not", "[layers][norm][simd]") {
  for (const char* name : {"vgg_small", "resnet20"}) {
    const ModulePtr net = models::make(name, {.classes = 10, .channels = 3, .image_size = 16});
    const Tensor x = normal({24, 3, 16, 16}, 1, DType::f32);
    (*net)(x);  // running statistics
    net->eval();
    const NoGrad no_grad;
    Variable want;
    {
      const ForwardObserver observer([](const Module&, const Variable&) {});
      want = (*net)(x);
    }
    check_close((*net)(x).value(), want.value(), 0);
  }
}

TEST_CASE("A Sequential fuses batch norm with the ReLU behind it unless somebody watches", "[layers][norm]") {
  const auto build = [] {
    return sequential({layer<Conv2d>({.in_channels = 3, .out_channels = 4, .kernel = 3}), layer<BatchNorm2d>({.channels = 4}),
                       layer<ReLU>(), layer<BatchNorm2d>({.channels = 4}), layer<GELU>(), layer<BatchNorm2d>({.channels = 4})});
  };
  const auto fused = build(), watched = build();
  watched->load_state(fused->state());
  const Tensor x = normal({2, 3, 6, 6}, 1, DType::f32);
  int modules = 0;
  Variable want;
  {
    const ForwardObserver observer([&](const Module&, const Variable&) { ++modules; });
    want = (*watched)(x);
  }
  CHECK(modules == 7);
  check_close((*fused)(x).value(), want.value(), 0);
  for (const auto& [name, value] : watched->state()) check_close(fused->state().at(name), value, 0);
}

TEST_CASE("conv2d_relu and linear_relu are what they consist of, to the last bit, and are seen as it", "[layers][simd]") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (const std::int64_t batch : {2, 16}) {
      const auto run = [&](bool fused) {
        Variable x(normal({batch, 3, 5, 4}, 1, dtype), true), w(normal({6, 3, 3, 3}, 2, dtype), true),
            b(normal({6}, 3, dtype), true), v(normal({5, 36}, 4, dtype), true), c(normal({5}, 5, dtype), true);
        const Variable h = flatten(fused ? conv2d_relu(x, w, b) : relu(conv2d(x, w, b)));
        const Variable y = fused ? linear_relu(h, v, c) : relu(linear(h, v, c));
        std::vector<Tensor> all = {y.value(), jvp(y, {{x, normal(x.shape(), 6, dtype)}, {c, normal({5}, 7, dtype)}})};
        backward(y, normal(y.shape(), 8, dtype));
        for (const Variable& leaf : {x, w, b, v, c}) all.push_back(leaf.grad());
        return all;
      };
      const std::vector<Tensor> got = run(true), want = run(false);
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("result " << i << ", batch " << batch);
        check_close(got[i], want[i], 0);
      }
    }
  std::vector<std::string> seen;
  const OperationObserver observer([&](const Operation& operation) { seen.emplace_back(operation.op); });
  conv2d_relu(Tensor::ones({1, 1, 2, 2}), Tensor::ones({1, 1, 2, 2}));
  linear_relu(Tensor::ones({1, 2}), Tensor::ones({3, 2}));
  CHECK(seen == std::vector<std::string>{"conv2d", "relu", "linear", "relu"});
}

TEST_CASE("A NaN passes through a convolution and a linear layer with ReLU", "[layers][simd]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Shape& shape : {Shape{1, 2, 4, 4}, Shape{16, 2, 4, 4}, Shape{2, 16, 4, 4}}) {
    Tensor x = Tensor::ones(shape), rows = Tensor::ones({shape[0] * 3, 20});
    x.slice(0, 0, 1).slice(1, 1, 2).fill_(nan), rows.slice(0, 0, 1).fill_(nan);
    const Tensor y = conv2d_relu(x, Tensor::ones({shape[1] + 1, shape[1], 3, 3})).value(),
                 z = linear_relu(rows, Tensor::ones({7, 20})).value();
    CHECK(std::isnan(y.to_vector<float>().front()));
    CHECK(std::isnan(z.to_vector<float>().front()));
  }
}

TEST_CASE("A Sequential fuses convolutions and linear layers with the ReLU behind them", "[layers]") {
  const auto net = sequential({layer<Conv2d>({.in_channels = 3, .out_channels = 4, .kernel = 3}), layer<ReLU>(),
                               layer<Flatten>(), layer<Linear>({.in_features = 64, .out_features = 5}), layer<ReLU>()});
  const Tensor x = normal({2, 3, 6, 6}, 1, DType::f32);
  int modules = 0;
  Variable want;
  {
    const ForwardObserver observer([&](const Module&, const Variable&) { ++modules; });
    want = (*net)(x);
  }
  CHECK(modules == 6);
  check_close((*net)(x).value(), want.value(), 0);
}

TEST_CASE("Features of a residual network are those of its modules", "[layers][norm]") {
  const ModulePtr net = models::cifar_resnet({.depth = 8, .classes = 3});
  net->eval();
  const Tensor x = normal({2, 3, 8, 8}, 1, DType::f32);
  const auto features = net->features(x, {"bn1", "layer1.0.bn2", "layer1", "linear"});
  check_close((*net)(x).value(), features.at("linear").value(), 0);
  CHECK(min(features.at("layer1.0.bn2").value()).item() < 0);  // before the relu
}

// In f64 it is the composition; in f32, where the classes are few, a loop of its own.
TEST_CASE("cross_entropy without options is the composition", "[losses]") {
  for (const DType dtype : {DType::f64, DType::f32})
    for (const std::int64_t classes : {4, 128, 129}) {
      INFO(name(dtype) << ", " << classes << " classes");
      Tensor logits = normal({6, classes}, 1, dtype) * 10.0;
      logits.slice(0, 1, 2).slice(1, 0, 1).fill_(-3e30);                                     // the label's, clamped
      logits.slice(0, 2, 3).slice(1, 1, 2).fill_(-std::numeric_limits<double>::infinity());  // a class that is masked
      logits.slice(0, 3, 4).slice(1, 0, 1).fill_(std::numeric_limits<double>::quiet_NaN());
      logits.slice(0, 4, 5).slice(1, 2, 3).fill_(200);
      const Tensor labels = Tensor::from<std::int64_t>({0, 0, 3, 1, 2, 3});
      const auto run = [&](bool fused) {
        const Variable z(logits.clone(), true);
        const Variable losses = fused ? cross_entropy(z, labels) : loss::surprise(loss::log_probabilities(z), labels);
        const Tensor moved = jvp(losses, {{z, normal({6, classes}, 2, dtype)}});
        backward(losses, normal({6}, 3, dtype));
        return std::vector<Tensor>{losses.value(), moved, z.grad()};
      };
      const std::vector<Tensor> got = run(true), want = run(false);
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("result " << i);
        check_close(got[i], want[i], dtype == DType::f64 ? 0 : 4e-6);
      }
    }
}

TEST_CASE("softmax_cross_entropy takes a label and a gradient for each row", "[losses]") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Tensor labels = Tensor::from<std::int64_t>({0, 1, 2, 0}), ones = Tensor::ones({4}, dtype);
    const Tensor saved = softmax_cross_entropy(normal({4, 3}, 1, dtype), labels).saved;
    CHECK(softmax_cross_entropy_backward(saved, labels, ones).shape() == Shape{4, 3});
    CHECK_THROWS_AS(softmax_cross_entropy_backward(saved, labels, Tensor::ones({1}, dtype)), ShapeError);
    CHECK_THROWS_AS(softmax_cross_entropy_backward(saved, labels.slice(0, 0, 2), ones), ShapeError);
  }
}

TEST_CASE("softmax_cross_entropy reads no label that is not a class", "[losses]") {
  for (const DType dtype : {DType::f64, DType::f32})
    for (const std::int64_t label : {-1, 3})
      CHECK_THROWS_AS(softmax_cross_entropy(normal({2, 3}, 1, dtype), Tensor::from<std::int64_t>({0, label})), ValueError);
}

TEST_CASE("On a GPU a label out of range gives NaN and the others what they should", "[losses][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("labels on a GPU: " + cuda::why_unavailable());
  const Variable z(normal({3, 4}, 1, DType::f32).to(Device::cuda()), true);
  const Variable losses = cross_entropy(z, Tensor::from<std::int64_t>({1, 4, 2}).to(Device::cuda()));
  const Tensor want = cross_entropy(z.value().to(Device::cpu()), Tensor::from<std::int64_t>({1, 0, 2})).value();
  const std::vector<double> got = losses.value().to_vector<double>();
  CHECK(got[0] == Approx(want.to_vector<double>()[0]));
  CHECK(std::isnan(got[1]));
  CHECK(got[2] == Approx(want.to_vector<double>()[2]));
  backward(losses, Tensor::ones({3}).to(Device::cuda()));
  const std::vector<double> gradient = z.grad().to_vector<double>();
  for (std::size_t i = 0; i < 12; ++i) CHECK(std::isnan(gradient[i]) == (i / 4 == 1));
}

TEST_CASE("On a GPU statistics hold where the mean is a hundred deviations, and repeat to the bit", "[norm][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("batch norm on a GPU: " + cuda::why_unavailable());
  for (const Shape& shape :
       {Shape{128, 16, 32, 32}, Shape{5, 6, 7, 9}, Shape{128, 64, 8, 8}, Shape{3, 512, 4, 4}, Shape{2, 33, 1, 3}}) {
    INFO(shape.str());
    Tensor x = normal(shape, 1, DType::f32) + 100;
    x.slice(2, 0, 1).fill_(95);  // a border: what every image starts with is far from the mean
    const Tensor gamma = normal({shape[1]}, 2, DType::f32), beta = normal({shape[1]}, 3, DType::f32),
                 dy = normal(shape, 4, DType::f32);
    const BatchNormResult want = reference_backend().batch_norm_train(x, gamma, beta, 1e-5);
    const BatchNormGradients want_d = reference_backend().batch_norm_backward(dy, x, gamma, want.mean, want.variance, 1e-5);
    const auto run = [&] {
      const auto there = [](const Tensor& t) { return t.to(Device::cuda()); };
      const BatchNormResult r = batch_norm_train(there(x), there(gamma), there(beta), 1e-5);
      const BatchNormGradients d = batch_norm_backward(there(dy), there(x), there(gamma), r.mean, r.variance, 1e-5);
      std::vector<Tensor> all;
      for (const Tensor& t : {r.output, r.mean, r.variance, d.input, d.gamma, d.beta})
        all.push_back(t.contiguous().to(Device::cpu()));
      return all;
    };
    const std::vector<Tensor> got = run(), again = run();
    for (std::size_t i = 0; i < got.size(); ++i) check_close(got[i], again[i], 0);
    check_close(got[1], want.mean, 1e-6);
    check_close(got[2], want.variance, 1e-4);
    check_close(got[0], want.output, 2e-4);
    check_close(got[3], want_d.input, 2e-4);
    check_close(got[4], want_d.gamma, 1e-2);
    check_close(got[5], want_d.beta, 1e-3);
  }
}
