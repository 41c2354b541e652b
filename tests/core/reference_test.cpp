// The reference backend against hand-computed values and against the most naive loops: reductions, softmax, matrices.
// Images are in reference_image_test.cpp.
#include <cstdint>
#include <limits>

#include "core/backend.h"
#include "core/error.h"
#include "core/parallel.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

Backend& reference() { return reference_backend(); }

}  // namespace

TEMPLATE_TEST_CASE("reference reduces along the middle axis", "[reference]", float, double, std::int32_t, std::int64_t) {
  const Tensor x = Tensor::from(std::vector<TestType>{1, 2, 3, -4, 5, 6, 7, 8, -9, 10, 11, 12}, Shape{2, 3, 2});
  const Tensor sum = reference().reduce(Reduction::sum, x);
  CHECK(sum.dtype() == dtype_of<TestType>);
  CHECK(sum.shape() == Shape{2, 2});
  CHECK(sum.to_vector<TestType>() == std::vector<TestType>{9, 4, 9, 30});
  CHECK(reference().reduce(Reduction::max, x).to_vector<TestType>() == std::vector<TestType>{5, 6, 11, 12});
  CHECK(reference().reduce(Reduction::min, x).to_vector<TestType>() == std::vector<TestType>{1, -4, -9, 8});
}

TEST_CASE("reference reductions at the edges", "[reference]") {
  SECTION("integers beyond a double's 53 bits") {
    const std::int64_t big = (std::int64_t{1} << 62) + 1;
    const Tensor x = Tensor::from(std::vector<std::int64_t>{big, -big + 3, 5}, Shape{1, 3, 1});
    CHECK(reference().reduce(Reduction::sum, x).item<std::int64_t>() == 8);
    CHECK(reference().reduce(Reduction::max, x).item<std::int64_t>() == big);
  }
  SECTION("f32 sums are taken in double") {
    const Tensor x = Tensor::from(std::vector<float>{1e8f, 1.0f, -1e8f}, Shape{1, 3, 1});
    CHECK(reference().reduce(Reduction::sum, x).item<double>() == 1.0);
  }
  SECTION("a NaN wins wherever it stands") {
    for (int at = 0; at < 3; ++at) {
      std::vector<double> values{1, 2, 3};
      values[static_cast<std::size_t>(at)] = kNan;
      const Tensor x = Tensor::from(values, Shape{1, 3, 1});
      CHECK(std::isnan(reference().reduce(Reduction::max, x).item()));
      CHECK(std::isnan(reference().reduce(Reduction::min, x).item()));
      CHECK(std::isnan(reference().reduce(Reduction::sum, x).item()));
    }
  }
  SECTION("infinities are ordinary values") {
    const Tensor x = Tensor::from(std::vector<double>{-kInf, -kInf}, Shape{1, 2, 1});
    CHECK(reference().reduce(Reduction::max, x).item() == -kInf);
  }
  SECTION("over nothing") {
    const Tensor x = Tensor::empty(Shape{2, 0, 3}, DType::f64);
    CHECK(reference().reduce(Reduction::sum, x).to_vector<double>() == std::vector<double>(6, 0.0));
    CHECK(contains(message_of<ValueError>([&] { reference().reduce(Reduction::max, x); }),
                   "[max] expected at least one element"));
    CHECK(contains(message_of<ValueError>([&] { reference().reduce(Reduction::min, x); }), "(2, 0, 3)"));
    CHECK(reference().reduce(Reduction::max, Tensor::empty(Shape{0, 2, 3}, DType::f64)).shape() == Shape{0, 3});
  }
  SECTION("bytes are refused") {
    const Tensor x = Tensor::zeros(Shape{1, 2, 1}, DType::u8);
    CHECK(contains(message_of<DTypeError>([&] { reference().reduce(Reduction::sum, x); }), "sum"));
  }
}

TEMPLATE_TEST_CASE("reference softmax", "[reference]", float, double) {
  const double tolerance = std::is_same_v<TestType, float> ? 2e-7 : 1e-15;
  const DType dtype = dtype_of<TestType>;
  SECTION("known values, along a strided axis") {
    // Columns (0, log 3) and (log 4, 0).
    const Tensor x = Tensor::from(std::vector<double>{0, std::log(4.0), std::log(3.0), 0}, Shape{1, 2, 2}).astype(dtype);
    const Tensor want = Tensor::from(std::vector<double>{0.25, 0.8, 0.75, 0.2}, Shape{1, 2, 2});
    check_close(reference().softmax(x, false), want, tolerance);
    const Tensor logs =
        Tensor::from(std::vector<double>{std::log(0.25), std::log(0.8), std::log(0.75), std::log(0.2)}, Shape{1, 2, 2});
    check_close(reference().softmax(x, true), logs, tolerance);
  }
  SECTION("large values do not overflow, impossible classes are 0") {
    const Tensor x = Tensor::from(std::vector<double>{1e30, 1e30, -1e30, -kInf}, Shape{1, 4, 1}).astype(dtype);
    CHECK(reference().softmax(x, false).template to_vector<double>() == std::vector<double>{0.5, 0.5, 0, 0});
    const std::vector<double> logs = reference().softmax(x, true).template to_vector<double>();
    CHECK(logs[0] == Approx(-std::log(2.0)));
    CHECK(logs[2] < -1e29);
    CHECK(logs[3] == -kInf);
  }
  SECTION("one element, and a NaN") {
    CHECK(reference().softmax(Tensor::full(Shape{1, 1, 1}, 7, dtype), false).template item<double>() == 1);
    const Tensor x = Tensor::from(std::vector<double>{1, kNan}, Shape{1, 2, 1}).astype(dtype);
    CHECK(std::isnan(reference().softmax(x, false).template to_vector<double>()[0]));
  }
}

TEST_CASE("reference softmax gradients are the Jacobian's", "[reference]") {
  const Shape shape{2, 5, 3};
  const Tensor x = normal(shape, 1), dy = normal(shape, 2), direction = normal(shape, 3);
  const bool log = GENERATE(false, true);
  const double step = 1e-6;
  const auto moved = [&](double by) {
    std::vector<double> values = x.to_vector<double>();
    const std::vector<double> d = direction.to_vector<double>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += by * d[i];
    return inner_product(reference().softmax(Tensor::from(values, shape), log), dy);
  };
  const Tensor dx = reference().softmax_backward(reference().softmax(x, log), dy, log);
  CHECK(inner_product(dx, direction) == Approx((moved(step) - moved(-step)) / (2 * step)).epsilon(1e-7));
}

TEMPLATE_TEST_CASE("reference matmul", "[reference]", float, double) {
  const DType dtype = dtype_of<TestType>;
  SECTION("by hand") {
    const Tensor a = Tensor::from(std::vector<TestType>{1, 2, 3, 4, 5, 6}, Shape{1, 2, 3});
    const Tensor b = Tensor::from(std::vector<TestType>{1, 0, 2, 1, 0, -1}, Shape{1, 3, 2});
    CHECK(reference().matmul(a, b, false, false).template to_vector<TestType>() == std::vector<TestType>{5, -1, 14, -1});
  }
  SECTION("every transposition and batching, against three loops") {
    const std::int64_t m = 5, k = 9, n = 7;
    const bool ta = GENERATE(false, true), tb = GENERATE(false, true);
    const std::int64_t batch_a = GENERATE(1, 3), batch_b = GENERATE(1, 3), batch = std::max(batch_a, batch_b);
    const Tensor a = normal(ta ? Shape{batch_a, k, m} : Shape{batch_a, m, k}, 4, dtype);
    const Tensor b = normal(tb ? Shape{batch_b, n, k} : Shape{batch_b, k, n}, 5, dtype);
    const std::vector<double> va = a.to_vector<double>(), vb = b.to_vector<double>();
    std::vector<double> want;
    for (std::int64_t g = 0; g < batch; ++g)
      for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (std::int64_t p = 0; p < k; ++p) {
            const std::int64_t at_a = (batch_a == 1 ? 0 : g * m * k) + (ta ? p * m + i : i * k + p);
            const std::int64_t at_b = (batch_b == 1 ? 0 : g * k * n) + (tb ? j * k + p : p * n + j);
            sum += va[static_cast<std::size_t>(at_a)] * vb[static_cast<std::size_t>(at_b)];
          }
          want.push_back(sum);
        }
    check_close(reference().matmul(a, b, ta, tb), Tensor::from(want, Shape{batch, m, n}), dtype == DType::f32 ? 1e-6 : 1e-13);
  }
  SECTION("longer than one piece of a row") {
    const Tensor a = normal(Shape{1, 2, 6}, 6, dtype), b = normal(Shape{1, 6, 1300}, 7, dtype);
    const Tensor whole = reference().matmul(a, b, false, false);
    const Tensor tail = reference().matmul(a, b.slice(2, 1290, 1300).contiguous(), false, false);
    check_close(whole.slice(2, 1290, 1300), tail, 0);
  }
}

TEST_CASE("reference matmul of f32 adds in double", "[reference]") {
  const Tensor a = Tensor::from(std::vector<float>{1e8f, 1.0f, -1e8f}, Shape{1, 1, 3}), b = Tensor::ones(Shape{1, 3, 1});
  CHECK(reference().matmul(a, b, false, false).item<double>() == 1.0);
}

TEST_CASE("reference layouts", "[reference]") {
  const Tensor x = Tensor::arange(6, DType::i32).reshape(Shape{2, 3});
  const Tensor turned = reference().to_layout(x.transpose(), Layout{});
  CHECK(turned.is_contiguous());
  CHECK(turned.to_vector<std::int32_t>() == std::vector<std::int32_t>{0, 3, 1, 4, 2, 5});
  CHECK(reference().to_layout(x, Layout{}).shares_storage(x));
  CHECK(std::string(reference().name()) == "reference");
}

TEST_CASE("reference results do not depend on the thread count", "[reference]") {
  const int before = num_threads();
  const Tensor x = normal(Shape{3, 6, 17, 19}, 8), weight = normal(Shape{8, 6, 3, 3}, 9),
               matrix = normal(Shape{1, 150, 150}, 10);
  const auto everything = [&] {
    const Tensor y = reference().conv2d(x, weight, {}, {});
    const WeightGradients gradients = reference().conv2d_backward_weight(y, x, weight, true, {});
    const Tensor ones = Tensor::ones(Shape{6}, DType::f64);
    std::vector<double> all;
    for (const Tensor& t : {y, reference().conv2d_backward_input(y, weight, x.shape(), {}), gradients.weight, gradients.bias,
                            reference().matmul(matrix, matrix, true, false), reference().softmax(matrix, false),
                            reference().reduce(Reduction::sum, matrix), reference().avg_pool2d(x, {}),
                            reference().max_pool2d(x, {}).output, reference().batch_norm_train(x, ones, ones, 1e-5).output}) {
      const std::vector<double> values = t.to_vector<double>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  set_num_threads(1);
  const std::vector<double> one = everything();
  set_num_threads(3);
  const std::vector<double> three = everything();
  set_num_threads(before);
  CHECK(one == three);
}
