#include "autograd/norm.h"

#include <cmath>

#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "autograd/reduce.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/ops.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"

using namespace heft;
using heft::test::check_close;
using heft::test::contains;
using heft::test::message_of;
using heft::test::normal;

namespace {

struct Norm {
  Variable gamma = Variable(Tensor::from<double>({1.5, 0.5}), true), beta = Variable(Tensor::from<double>({0.1, -2}), true);
  Tensor mean = Tensor::from<double>({0.2, 0.4}), variance = Tensor::from<double>({1, 3});
  Variable operator()(const Variable& x, bool training, double momentum = 0.1) {
    return batch_norm(x, gamma, beta, mean, variance, training, momentum);
  }
};

}  // namespace

TEST_CASE("batch_norm normalises with the batch and moves the running statistics", "[autograd][batch_norm]") {
  const Tensor x = normal({3, 2, 2, 2}, 1) * 2.0 + 1.0;
  Norm norm;
  const std::vector<double> v = x.to_vector<double>(), y = norm(x, true, 0.3).value().to_vector<double>();
  const std::vector<double> mean = norm.mean.to_vector<double>(), variance = norm.variance.to_vector<double>();
  const std::vector<double> gamma = {1.5, 0.5}, beta = {0.1, -2}, old_mean = {0.2, 0.4}, old_variance = {1, 3};
  for (std::size_t c = 0; c < 2; ++c) {
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < v.size(); ++i)
      if (i / 4 % 2 == c) places.push_back(i);
    double m = 0, s = 0;
    for (const std::size_t i : places) m += v[i] / 12;
    for (const std::size_t i : places) s += (v[i] - m) * (v[i] - m);
    for (const std::size_t i : places) CHECK(y[i] == Approx(gamma[c] * (v[i] - m) / std::sqrt(s / 12 + 1e-5) + beta[c]));
    CHECK(mean[c] == Approx(0.7 * old_mean[c] + 0.3 * m));
    CHECK(variance[c] == Approx(0.7 * old_variance[c] + 0.3 * s / 11));
  }
}

TEST_CASE("batch_norm in evaluation uses the running statistics and leaves them alone", "[autograd][batch_norm]") {
  Norm norm;
  const std::uint64_t version = norm.mean.version();
  const Tensor y = norm(Tensor::ones({1, 2, 1, 1}, DType::f64), false).value();
  CHECK(y.to_vector<double>()[0] == Approx(1.5 * 0.8 / std::sqrt(1 + 1e-5) + 0.1));
  CHECK(y.to_vector<double>()[1] == Approx(0.5 * 0.6 / std::sqrt(3 + 1e-5) - 2));
  CHECK(norm.mean.version() == version);
  CHECK(norm.variance.to_vector<double>() == std::vector<double>{1, 3});
}

TEST_CASE("batch_norm updates its statistics under NoGrad too, and through views of them", "[autograd][batch_norm]") {
  Norm norm;
  const Tensor seen = norm.mean;
  const NoGrad no_grad;
  norm(normal({4, 2, 3, 3}, 2), true, 1);
  CHECK(seen.to_vector<double>() != std::vector<double>{0.2, 0.4});
  check_close(seen, mean(normal({4, 2, 3, 3}, 2), {0, 2, 3}), 1e-12);
}

TEST_CASE("batch_norm of (N, C) is that of (N, C, 1, 1)", "[autograd][batch_norm]") {
  const Tensor x = normal({5, 2}, 3);
  Norm flat, images;
  const Variable y = flat(x, true);
  CHECK(y.shape() == x.shape());
  check_close(y.value(), images(x.reshape({5, 2, 1, 1}), true).value().reshape({5, 2}), 0);
  check_close(flat.variance, images.variance, 0);
}

TEST_CASE("What batch_norm refuses", "[autograd][batch_norm]") {
  Norm norm;
  CHECK(message_of<ShapeError>([&] {
          norm(normal({4, 3, 2, 2}, 1), true);
        }) == "[batch_norm] expected running statistics of shape (3,) for input (4, 3, 2, 2); got (2,) and (2,)");
  CHECK(message_of<ShapeError>([&] {
          norm(normal({4, 2, 3}, 1), true);
        }) == "[batch_norm] expected input of shape (N, C, H, W) or (N, C); got (4, 2, 3)");
  CHECK(contains(message_of<ValueError>([&] { norm(normal({1, 2}, 1), true); }), "more than one value per channel"));
  CHECK_NOTHROW(norm(normal({1, 2}, 1), false));
  CHECK_THROWS_AS(norm(normal({4, 2}, 1), true, 1.5), ValueError);
  // A training pass between an evaluation and its backward changes what the evaluation saved.
  const Variable y = norm(Variable(normal({4, 2}, 1), true), false);
  norm(normal({4, 2}, 1), true);
  CHECK(contains(message_of<AutogradError>([&] { backward(sum(y)); }), "[batch_norm] expected a saved tensor"));
}

TEST_CASE("layer_norm normalises each row", "[autograd][layer_norm]") {
  const Tensor x = normal({3, 8}, 4) * 5.0;
  const std::vector<double> v = x.to_vector<double>(), y = layer_norm(x).value().to_vector<double>();
  for (std::size_t r = 0; r < 3; ++r) {
    double m = 0, s = 0;
    for (std::size_t i = 0; i < 8; ++i) m += v[r * 8 + i] / 8;
    for (std::size_t i = 0; i < 8; ++i) s += (v[r * 8 + i] - m) * (v[r * 8 + i] - m) / 8;
    for (std::size_t i = 0; i < 8; ++i) CHECK(y[r * 8 + i] == Approx((v[r * 8 + i] - m) / std::sqrt(s + 1e-5)));
  }
  const Tensor ones = Tensor::ones({8}, DType::f64);
  CHECK_THROWS_AS(layer_norm(x, ones), ValueError);
  CHECK(message_of<ShapeError>([&] { layer_norm(x, Tensor::ones({3}, DType::f64), Tensor::ones({3}, DType::f64)); }) ==
        "[layer_norm] expected gamma and beta of shape (8,) for input (3, 8); got (3,)");
  CHECK_THROWS_AS(layer_norm(x, ones, ones, 0), ValueError);
}

TEST_CASE("dropout zeroes a share p, scales the rest, and repeats with its key", "[autograd][dropout]") {
  const Tensor x = Tensor::ones({100, 100});
  const RandomKey key{1, 2};
  const std::vector<float> y = dropout(x, 0.3, true, key).value().to_vector<float>();
  double kept = 0;
  for (const float v : y) {
    if (v != 0) CHECK(v == Approx(1 / 0.7));
    kept += v != 0;
  }
  CHECK(std::abs(kept / 1e4 - 0.7) < 4 * std::sqrt(0.21 / 1e4));  // four standard deviations
  CHECK(dropout(x, 0.3, true, key).value().to_vector<float>() == y);
  CHECK(dropout(x, 0.3, true, {1, 3}).value().to_vector<float>() != y);
  check_close(dropout(x.astype(DType::f64), 0.3, true, key).value(), Tensor::from(y, x.shape()), 1e-6);  // one key, one mask
}

TEST_CASE("dropout is the identity in evaluation and for p = 0, and takes no random numbers then", "[autograd][dropout]") {
  const Variable x(Tensor::ones({4}), true);
  manual_seed(5);
  const std::uint64_t next = random_state().next;
  CHECK(dropout(x, 0.5, false) == x);
  CHECK(dropout(x, 0, true) == x);
  CHECK(random_state().next == next);
  manual_seed(5);
  const std::vector<float> a = dropout(x, 0.5, true).value().to_vector<float>();
  manual_seed(5);
  CHECK(dropout(x, 0.5, true).value().to_vector<float>() == a);
  CHECK(message_of<ValueError>([&] { dropout(x, 1, true); }) == "[dropout] expected 0 <= p < 1; got 1");
  CHECK_THROWS_AS(dropout(x, -0.1, false), ValueError);
}

TEST_CASE("l2_normalize divides rows by a power of their length", "[autograd][l2_normalize]") {
  const Tensor x = normal({2, 3, 5}, 3) * 4.0;
  for (const double power : {0.0, 0.5, 1.0, 2.0}) {
    const std::vector<double> v = x.to_vector<double>(), y = l2_normalize(x, power).value().to_vector<double>();
    for (std::size_t row = 0; row < 6; ++row) {
      double square = 0;
      for (std::size_t k = 0; k < 5; ++k) square += v[5 * row + k] * v[5 * row + k];
      for (std::size_t k = 0; k < 5; ++k)
        CHECK(y[5 * row + k] == Approx(v[5 * row + k] / std::pow(std::sqrt(square), power)).epsilon(1e-14));
    }
  }
  check_close(l2_normalize(x).value(), l2_normalize(x, 1).value(), 0);
}

TEST_CASE("l2_normalize is finite at zero and exact where squares leave the float", "[autograd][l2_normalize]") {
  // Rows, and the rows of length 1 (or below the floor of 1e-6: divided by it) that they become.
  const Tensor x = Tensor::from<float>({0, 0, 3e-7f, 4e-7f, 3e-6f, -4e-6f, 3e-20f, 0, 3e38f, -3e38f, 3, 4, 0, -7}, {7, 2});
  const float half = std::sqrt(0.5f);
  const Tensor want = Tensor::from<float>({0, 0, 0.3f, 0.4f, 0.6f, -0.8f, 3e-14f, 0, half, -half, 0.6f, 0.8f, 0, -1}, {7, 2});
  const Variable leaf(x, true);
  const Variable y = l2_normalize(leaf);
  check_close(y.value(), want, 1e-6);
  backward(y, Tensor::from<float>({1, 2, 1, 0, 4, 3, 1, 1, 1, 1, 1, 0, 1, 1}, {7, 2}));
  const std::vector<double> g = leaf.grad().to_vector<double>();
  CHECK(g[0] == Approx(1e6));  // below the floor: dy / 1e-6
  CHECK(g[1] == Approx(2e6));
  CHECK(g[2] == Approx(1e6));
  CHECK(g[3] == 0);
  CHECK(g[4] == Approx(4 / 5e-6));  // dy is orthogonal to the row: dy / n
  CHECK(g[5] == Approx(3 / 5e-6));
  CHECK(g[8] == Approx(0).margin(1e-38));
  CHECK(g[10] == Approx((1 - 0.36) / 5));
  CHECK(g[11] == Approx(-0.48 / 5));
  CHECK(g[13] == Approx(0).margin(1e-12));  // along the row: nothing
}

TEST_CASE("l2_normalize refuses what has no last axis, and powers out of range", "[autograd][l2_normalize]") {
  CHECK(contains(message_of<ShapeError>([] { l2_normalize(Tensor::zeros({})); }), "a last axis of extent >= 1; got shape ()"));
  CHECK_THROWS_AS(l2_normalize(Tensor::zeros({3, 0})), ShapeError);
  CHECK(contains(message_of<ValueError>([] { l2_normalize(Tensor::zeros({3}), 2.5); }), "expected power in [0, 2]; got 2.5"));
  CHECK_THROWS_AS(l2_normalize(Tensor::zeros({3}), std::nan("")), ValueError);
}

TEST_CASE("batch norm saves no beta that its gradient does not read", "[autograd][batch_norm]") {
  const auto after_writing_beta = [](bool relu, const Variable& residual, DType dtype) {
    const Variable x(normal({4, 3, 2, 2}, 1, dtype), true), gamma(normal({3}, 2, dtype), true);
    Variable beta(normal({3}, 3, dtype), true);
    Tensor mean = Tensor::zeros({3}, dtype), variance = Tensor::ones({3}, dtype);
    const Variable y = relu ? batch_norm_relu(x, gamma, beta, mean, variance, true, residual)
                            : batch_norm(x, gamma, beta, mean, variance, true);
    Tensor(beta.value()).fill_(7);
    backward(sum(y));
  };
  for (const DType dtype : {DType::f32, DType::f64}) {
    CHECK_NOTHROW(after_writing_beta(false, {}, dtype));
    CHECK_NOTHROW(after_writing_beta(true, Variable(normal({4, 3, 2, 2}, 4, dtype)), dtype));
  }
#ifdef HEFT_ONEDNN
  CHECK_THROWS_AS(after_writing_beta(true, {}, DType::f32), AutogradError);  // read again, as no output is kept
#endif
}

namespace {

// What a convolution of relu(batch_norm(x)) gives its weight, with the images as they were or made again.
struct Convolved {
  Variable x, weight, gamma, beta, z;
  std::size_t bytes = 0;  // that the graph holds

  Convolved(const Shape& shape, DType dtype, bool cut)
      : x(normal(shape, 1, dtype), true),
        weight(normal({2 * shape[1], shape[1], 3, 3}, 2, dtype), true),
        gamma(normal({shape[1]}, 3, dtype), true),
        beta(normal({shape[1]}, 4, dtype), true) {
    Tensor mean = Tensor::zeros({shape[1]}, dtype), variance = Tensor::ones({shape[1]}, dtype);
    const std::size_t before = memory_stats().bytes_in_use;
    const Variable one(normal({shape[1], shape[1], 1, 1}, 5, dtype));  // a convolution in front, for its layout
    Variable y = batch_norm_relu(conv2d(x, one, {}, {}), gamma, beta, mean, variance, true);
    z = conv2d(cut ? y.detach() : y, weight, {}, {.padding = {1, 1}});
    y = {};
    bytes = memory_stats().bytes_in_use - before;
  }
  std::vector<double> gradient(bool keep_graph = false) {
    weight.zero_grad();
    backward(z, normal(z.shape(), 6, z.dtype()), {.keep_graph = keep_graph});
    return weight.grad().to_vector<double>();
  }
};

}  // namespace

TEST_CASE("A convolution's gradient is the same to the bit where its images are made again", "[autograd][batch_norm][conv2d]") {
  for (const Shape& shape :
       {Shape{4, 16, 16, 16}, Shape{3, 5, 7, 9}, Shape{16, 6, 8, 8}, Shape{1, 32, 24, 24}, Shape{32, 64, 8, 8}})
    for (const DType dtype : {DType::f32, DType::f64}) {
      INFO(shape.str() << " " << name(dtype));
      const std::vector<double> expected = Convolved(shape, dtype, true).gradient();
      Convolved through(shape, dtype, false);
      CHECK(through.gradient(true) == expected);
      CHECK(through.gradient() == expected);  // and on a second sweep
    }
}

#ifdef HEFT_ONEDNN
TEST_CASE("What batch norm and ReLU give a convolution is not kept", "[autograd][batch_norm][memory]") {
  const std::size_t image = 32 * 32 * 32 * 32 * sizeof(float);
  // Of images there are the convolution's in front and the result, which has twice the channels.
  CHECK(Convolved({32, 32, 32, 32}, DType::f32, false).bytes <= 3 * image + image / 2);
}

TEST_CASE("Images that can no longer be made again are an error", "[autograd][batch_norm]") {
  Convolved changed({4, 16, 16, 16}, DType::f32, false);
  Tensor(changed.gamma.value()).fill_(1);
  const std::string message = message_of<AutogradError>([&] { changed.gradient(); });
  CHECK(contains(message, "[conv2d]"));
  CHECK(contains(message, "changed in place"));
}

TEST_CASE("Images are those that the convolution read, whenever they are written to", "[autograd][batch_norm][conv2d]") {
  const Variable x(normal({4, 16, 16, 16}, 1, DType::f32), true), gamma(normal({16}, 3, DType::f32), true),
      beta(normal({16}, 4, DType::f32), true);
  Variable weight(normal({8, 16, 3, 3}, 2, DType::f32), true);
  Tensor mean = Tensor::zeros({16}), variance = Tensor::ones({16});
  const auto gradient = [&](bool before, bool after) {
    const Variable y = batch_norm_relu(x, gamma, beta, mean, variance, true);
    Tensor half = y.value().slice(1, 0, 8);
    if (before) half.fill_(0);
    const Variable z = conv2d(y, weight, {}, {});
    if (after) half.fill_(0);
    weight.zero_grad();
    backward(z, Tensor::ones(z.shape()));
    return weight.grad().contiguous();
  };
  const Tensor as_made = gradient(false, false), masked = gradient(true, false);
  CHECK(gradient(false, true).to_vector<float>() == as_made.to_vector<float>());
  CHECK(sum(unary<fn::Abs>(masked.slice(1, 0, 8))).item() == 0);
  CHECK(masked.slice(1, 8, 16).to_vector<float>() == as_made.slice(1, 8, 16).to_vector<float>());
}
#endif

TEST_CASE("Images are made again as long as the graph is there, and not without one", "[autograd][batch_norm]") {
  Convolved swept({4, 16, 16, 16}, DType::f32, false);
  swept.gradient();
  CHECK_THROWS_AS(swept.gradient(), AutogradError);
  const NoGrad no_grad;
  CHECK(Convolved({4, 16, 16, 16}, DType::f32, false).z.value().to_vector<double>() == swept.z.value().to_vector<double>());
}
