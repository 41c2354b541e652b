#include "core/ops.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/backend.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/random.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"

using namespace heft;
using heft::test::check_close;
using heft::test::contains;
using heft::test::message_of;
using heft::test::normal;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");
using Ints = std::vector<std::int64_t>;
using Floats = std::vector<float>;
using Bools = std::vector<bool>;

Tensor floats(const Floats& values) { return Tensor::from(values); }

}  // namespace

TEST_CASE("argmax takes the first of equals, along any axis", "[core][ops]") {
  const Tensor x = Tensor::from<float>({1, 5, 5, 4, 2, 4}, {2, 3});
  CHECK(argmax(x).to_vector<std::int64_t>() == Ints{1, 0});
  CHECK(argmax(x, 0).to_vector<std::int64_t>() == Ints{1, 0, 0});
  CHECK(argmax(x).dtype() == DType::i64);
  CHECK(argmax(Tensor::ones({4})).shape() == Shape{});
  CHECK(argmax(x.transpose(), 0).to_vector<std::int64_t>() == Ints{1, 0});
  CHECK_THROWS_AS(argmax(Tensor::ones({2, 0})), ValueError);
  CHECK_THROWS_AS(argmax(x, 2), ShapeError);
}

TEST_CASE("one_hot", "[core][ops]") {
  const Tensor y = one_hot(Tensor::from<std::int64_t>({2, 0}), 3);
  CHECK(y.shape() == Shape{2, 3});
  CHECK(y.to_vector<float>() == Floats{0, 0, 1, 1, 0, 0});
  CHECK(one_hot(Tensor::from<std::int32_t>({1}), 2, DType::f64).dtype() == DType::f64);
  CHECK(one_hot(Tensor::arange(4).reshape({2, 2}), 4).shape() == Shape{2, 2, 4});
  CHECK(message_of<ShapeError>([] {
          one_hot(Tensor::from<std::int64_t>({0, 3}), 3);
        }) == "[one_hot] expected indices in [0, 3); got 3 at position 1");
  CHECK_THROWS_AS(one_hot(Tensor::arange(2), 0), ValueError);
  CHECK_THROWS_AS(one_hot(Tensor::ones({2}), 2), DTypeError);
}

TEST_CASE("Reductions over axes equal loops", "[core][ops]") {
  const Tensor x = normal({2, 3, 4}, 5);
  const std::vector<double> v = x.to_vector<double>();
  const auto at = [&](std::int64_t i, std::int64_t j, std::int64_t k) {
    return v[static_cast<std::size_t>((i * 3 + j) * 4 + k)];
  };
  const Tensor s = sum(x, {0, 2}), m = max(x, {1}), low = min(x, {0, 2}, true), total = mean(x);
  CHECK(s.shape() == Shape{3});
  CHECK(m.shape() == Shape{2, 4});
  CHECK(low.shape() == Shape{1, 3, 1});
  CHECK(total.shape() == Shape{});
  double all = 0;
  for (const double value : v) all += value;
  CHECK(total.item() == Approx(all / 24));
  for (std::int64_t j = 0; j < 3; ++j) {
    double expected = 0, smallest = 1e9;
    for (std::int64_t i = 0; i < 2; ++i)
      for (std::int64_t k = 0; k < 4; ++k) expected += at(i, j, k), smallest = std::min(smallest, at(i, j, k));
    CHECK(s.select(0, j).item() == Approx(expected));
    CHECK(low.select(1, j).item() == smallest);
  }
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t k = 0; k < 4; ++k)
      CHECK(m.select(0, i).select(0, k).item() == std::max({at(i, 0, k), at(i, 1, k), at(i, 2, k)}));
  CHECK(sum(Tensor::arange(5)).item<std::int64_t>() == 10);
  CHECK(sum(Tensor::ones({0, 3}), {0}).to_vector<float>() == Floats{0, 0, 0});
  CHECK(sum(Tensor::ones({3, 0})).item() == 0);
  CHECK(message_of<ShapeError>([&] { sum(x, {0, -3}); }) == "[sum] expected each axis once; got (0, -3)");
  CHECK_THROWS_AS(max(Tensor::ones({0})), ValueError);
  CHECK_THROWS_AS(mean(Tensor::ones({0})), ValueError);
}

TEST_CASE("sum_squares adds in double, any layout, whatever the threads", "[core][ops]") {
  const Tensor x = random_normal({37, 11, 41}, 0, 1, DType::f32, Device::cpu(), RandomKey{3});
  double expected = 0;
  for (const float v : x.to_vector<float>()) expected += static_cast<double>(v) * v;
  CHECK(sum_squares(x).dtype() == DType::f64);
  CHECK(sum_squares(x).item<double>() == Approx(expected).epsilon(1e-13));
  CHECK(sum_squares(x.astype(DType::f64).transpose()).item<double>() == Approx(expected).epsilon(1e-13));
  const int threads = num_threads();
  const double alone = (set_num_threads(1), sum_squares(x).item<double>());
  const double together = (set_num_threads(4), sum_squares(x).item<double>());
  set_num_threads(threads);
  CHECK(alone == together);
  {
    const BackendScope scope(reference_backend());
    CHECK(reference_backend().Backend::sum_squares(x).item<double>() == Approx(expected).epsilon(1e-13));  // the default
  }
  const Tensor weight = random_normal({5, 3, 3, 3}, 0, 1, DType::f32, Device::cpu(), RandomKey{4});
  const Tensor blocked = cpu_backend().conv2d_prepare_weight(weight, random_normal({2, 3, 8, 8}), {});
  CHECK(sum_squares(blocked).item<double>() == Approx(sum_squares(weight).item<double>()).epsilon(1e-13));
  CHECK(sum_squares(floats({1e30f, 0})).item<double>() == Approx(1e60));
  CHECK(std::isnan(sum_squares(floats({1, kNan})).item<double>()));
  CHECK(sum_squares(Tensor::ones({0, 3})).item<double>() == 0);
  CHECK_THROWS_AS(sum_squares(Tensor::arange(3)), DTypeError);
}

TEST_CASE("logsumexp neither overflows nor loses infinities", "[core][ops]") {
  CHECK(logsumexp(floats({1000, 1000})).item() == Approx(1000 + std::log(2.0)));
  CHECK(logsumexp(floats({-1000, -1000})).item() == Approx(-1000 + std::log(2.0)));
  CHECK(logsumexp(floats({-kInf, 3})).item() == Approx(3));
  CHECK(logsumexp(floats({-kInf, -kInf})).item() == -kInf);
  CHECK(logsumexp(floats({kInf, 3})).item() == kInf);
  CHECK(logsumexp(floats({kInf, -kInf})).item() == kInf);
  CHECK(std::isnan(logsumexp(floats({kNan, 3})).item()));
  const Tensor rows = logsumexp(Tensor::from<float>({0, 0, -kInf, -kInf}, {2, 2}), {1});
  CHECK(rows.to_vector<float>()[1] == -kInf);
  CHECK(rows.to_vector<float>()[0] == Approx(std::log(2.0)));
}

TEST_CASE("sum_to undoes broadcasting", "[core][ops]") {
  const Tensor x = Tensor::arange(12, DType::f32).reshape({2, 3, 2});
  CHECK(sum_to(x, x.shape()).shares_storage(x));
  CHECK(sum_to(x, {3, 2}).to_vector<float>() == Floats{6, 8, 10, 12, 14, 16});
  CHECK(sum_to(x, {2, 1, 2}).to_vector<float>() == Floats{6, 9, 24, 27});
  CHECK(sum_to(x, {1, 2}).to_vector<float>() == Floats{30, 36});
  CHECK(sum_to(x, {}).item() == 66);
  CHECK(sum_to(x, {1}).item() == 66);
  CHECK(sum_to(Tensor::ones({1, 2}), {2}).shape() == Shape{2});
}

TEST_CASE("all_finite", "[core][ops]") {
  CHECK(all_finite(floats({1, -2, 3e38f})));
  CHECK_FALSE(all_finite(floats({1, kNan})));
  CHECK_FALSE(all_finite(floats({1, kInf, -kInf})));
  CHECK(all_finite(Tensor::ones({0})));
  CHECK(all_finite(Tensor::arange(3)));
}

TEST_CASE("Comparisons broadcast, give bool and know NaN", "[core][ops]") {
  const Tensor a = floats({1, 2, kNan}), b = floats({2, 2, 2});
  CHECK(compare<fn::Less>(a, b).to_vector<bool>() == Bools{true, false, false});
  CHECK(compare<fn::GreaterEqual>(a, b).to_vector<bool>() == Bools{false, true, false});
  CHECK(compare<fn::NotEqual>(a, a).to_vector<bool>() == Bools{false, false, true});
  CHECK(compare<fn::Equal>(Tensor::arange(3), Tensor::from<std::int64_t>({1})).to_vector<bool>() == Bools{false, true, false});
  CHECK(compare<fn::Equal>(a, b).dtype() == DType::boolean);
  CHECK_THROWS_AS(compare<fn::Less>(a, Tensor::arange(3)), DTypeError);
}

TEST_CASE("where chooses, broadcasts and refuses a condition that is no bool", "[core][ops]") {
  const Tensor condition = Tensor::from<bool>({true, false}, {2, 1});
  CHECK(where(condition, floats({1, 2, 3}), floats({9})).to_vector<float>() == Floats{1, 2, 3, 9, 9, 9});
  CHECK(message_of<DTypeError>([] { where(Tensor::ones({2}), Tensor::ones({2}), Tensor::ones({2})); }) ==
        "[where] expected a bool condition; got f32");
}

TEST_CASE("Indices are checked before anything is read", "[core][ops]") {
  const Tensor x = Tensor::arange(6, DType::f32).reshape({3, 2});
  const auto index = [](const Ints& values) { return Tensor::from(values); };
  CHECK(index_select(x, 0, index({2, 0})).to_vector<float>() == Floats{4, 5, 0, 1});
  CHECK(index_select(x, 0, Tensor::from<std::int32_t>({1})).to_vector<float>() == Floats{2, 3});
  CHECK(index_add(x, 0, index({1, 1, 0}), 4).to_vector<float>() == Floats{4, 5, 2, 4, 0, 0, 0, 0});
  CHECK(gather(x, 1, index({1, 0, 1}).reshape({3, 1})).to_vector<float>() == Floats{1, 2, 5});
  CHECK(message_of<ShapeError>([&] {
          index_select(x, 0, index({0, 3}));
        }) == "[index_select] expected indices in [0, 3); got 3 at position 1");
  CHECK(message_of<ShapeError>([&] { index_select(x, 1, index({-1})); }) ==
        "[index_select] expected indices in [0, 2); got -1 at position 0");
  CHECK(message_of<ShapeError>([&] { gather(x, 1, index({0})); }) ==
        "[gather] expected an index of shape (3, 2) except at axis 1; got (1,)");
  CHECK_THROWS_AS(index_select(x, 0, Tensor::ones({2})), DTypeError);
  CHECK_THROWS_AS(index_select(x, 0, index({0}).reshape({1, 1})), ShapeError);
  CHECK_THROWS_AS(index_add(x, 0, index({0}), 3), ShapeError);
}

TEST_CASE("concat and pad", "[core][ops]") {
  const Tensor x = Tensor::arange(4).reshape({2, 2});
  CHECK(concat({x, x.slice(1, 0, 1)}, 1).to_vector<std::int64_t>() == Ints{0, 1, 0, 2, 3, 2});
  CHECK(concat({x}, 0).to_vector<std::int64_t>() == Ints{0, 1, 2, 3});
  CHECK(pad(x, {1, 0}, {0, 1}, 9).to_vector<std::int64_t>() == Ints{9, 9, 9, 0, 1, 9, 2, 3, 9});
  CHECK_THROWS_AS(concat({}, 0), ShapeError);
  CHECK(message_of<ShapeError>([&] {
          concat({x, Tensor::arange(2)}, 0);
        }) == "[concat] expected shapes equal but for axis 0; got (2, 2) and (2,)");
  CHECK_THROWS_AS(pad(x, {1}, {0, 1}), ShapeError);
  CHECK_THROWS_AS(pad(x, {-1, 0}, {0, 1}), ShapeError);
}

TEST_CASE("matmul equals loops, with views, batches and empty extents", "[core][ops]") {
  const auto loops = [](const Tensor& a, const Tensor& b) {
    Tensor c = Tensor::zeros({a.size(0), b.size(1)}, DType::f64);
    for (std::int64_t i = 0; i < a.size(0); ++i)
      for (std::int64_t j = 0; j < b.size(1); ++j)
        for (std::int64_t k = 0; k < a.size(1); ++k)
          c.mutable_data<double>()[i * b.size(1) + j] +=
              a.select(0, i).select(0, k).item() * b.select(0, k).select(0, j).item();
    return c;
  };
  const Tensor a = normal({3, 5}, 1), b = normal({5, 4}, 2);
  check_close(matmul(a, b), loops(a, b), 1e-12);
  check_close(matmul(a.transpose().contiguous(), b, true), loops(a, b), 1e-12);
  check_close(matmul(a, b.transpose(), false, true), loops(a, b), 1e-12);
  check_close(matmul(a.astype(DType::f32), b.astype(DType::f32)), loops(a, b), 1e-5);
  const Tensor batch = normal({2, 1, 3, 5}, 3), matrices = normal({4, 5, 2}, 4);
  const Tensor product = matmul(batch, matrices);
  REQUIRE(product.shape() == Shape{2, 4, 3, 2});
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 4; ++j)
      check_close(product.select(0, i).select(0, j), loops(batch.select(0, i).select(0, 0), matrices.select(0, j)), 1e-12);
  CHECK(matmul(Tensor::ones({2, 0}), Tensor::ones({0, 3})).to_vector<float>() == Floats(6, 0));
  CHECK(matmul(Tensor::ones({0, 2}), Tensor::ones({2, 3})).shape() == Shape{0, 3});
  CHECK(message_of<ShapeError>([] {
          matmul(Tensor::ones({2}), Tensor::ones({2, 2}));
        }) == "[matmul] expected matrices or batches of them; got (2,) and (2, 2)");
  CHECK_THROWS_AS(matmul(Tensor::arange(4).reshape({2, 2}), Tensor::arange(4).reshape({2, 2})), DTypeError);
  CHECK_THROWS_AS(matmul(Tensor::ones({2, 3, 4}), Tensor::ones({3, 4, 2})), ShapeError);
}

TEST_CASE("linear says which features it expected", "[core][ops]") {
  CHECK(message_of<ShapeError>([] {
          linear(Tensor::ones({2, 3}), Tensor::ones({5, 4}));
        }) == "[linear] expected input with 4 features (weight is (5, 4)), got (2, 3)");
  CHECK_THROWS_AS(linear(Tensor::ones({2, 4}), Tensor::ones({5, 4}), Tensor::ones({4})), ShapeError);
  CHECK(linear(Tensor::ones({0, 4}), Tensor::ones({5, 4}), Tensor::ones({5})).shape() == Shape{0, 5});
}

TEST_CASE("Image operations refuse what does not fit", "[core][ops]") {
  const Tensor x = Tensor::ones({2, 3, 5, 5}), w = Tensor::ones({4, 3, 3, 3});
  CHECK_THROWS_AS(conv2d(Tensor::ones({3, 5, 5}), w), ShapeError);
  CHECK_THROWS_AS(conv2d(x, Tensor::ones({4, 3, 7, 7})), ShapeError);
  CHECK_THROWS_AS(conv2d(x, w, Tensor::ones({3})), ShapeError);
  CHECK_THROWS_AS(conv2d(x, Tensor::ones({4, 3, 0, 3})), ShapeError);
  CHECK_THROWS_AS(conv2d(x, Tensor::ones({0, 3, 3, 3})), ShapeError);
  CHECK_THROWS_AS(conv2d(x, w, {}, {.stride = {0, 1}}), ValueError);
  CHECK_THROWS_AS(conv2d(x, w, {}, {.groups = 0}), ValueError);
  CHECK_THROWS_AS(conv2d(x, w.astype(DType::f64)), DTypeError);
  CHECK(message_of<ShapeError>([&] {
          conv2d(x, Tensor::ones({3, 1, 3, 3}), {}, {.groups = 2});
        }) == "[conv2d] expected input with 2 channels (weight is (3, 1, 3, 3)), got (2, 3, 5, 5)");
  CHECK_THROWS_AS(max_pool2d(x, {.kernel = {6, 6}}), ShapeError);
  CHECK_THROWS_AS(max_pool2d(x, {.kernel = {2, 2}, .padding = {2, 2}}), ValueError);
  const Tensor c = Tensor::ones({3});
  CHECK_THROWS_AS(batch_norm_train(x, Tensor::ones({4}), c, 1e-5), ShapeError);
  CHECK_THROWS_AS(batch_norm_train(Tensor::ones({1, 3, 1, 1}), c, c, 1e-5), ValueError);
}
