#include "core/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <sstream>

#include "core/backend.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/ops.h"
#include "core/sanitizer.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

namespace {

using Ints = std::vector<std::int64_t>;
using Floats = std::vector<float>;

Tensor counting(const Shape& shape) { return Tensor::arange(shape.numel()).reshape(shape); }
Ints ints(const Tensor& t) { return t.to_vector<std::int64_t>(); }

// Calls f(index) for every index of `shape`, in row-major order.
template <class F>
void for_each_index(const Shape& shape, F f) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(shape.rank()), 0);
  for (std::int64_t k = 0; k < shape.numel(); ++k) {
    std::int64_t rest = k;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      index[static_cast<std::size_t>(axis)] = rest % shape[axis];
      rest /= shape[axis];
    }
    f(index);
  }
}

// The element of a row-major `shape` that `index` (of a shape it broadcasts to) reads.
std::int64_t broadcast_offset(const Shape& shape, const std::vector<std::int64_t>& index) {
  std::int64_t offset = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const std::int64_t i = index[index.size() - static_cast<std::size_t>(shape.rank() - axis)];
    offset = offset * shape[axis] + (shape[axis] == 1 ? 0 : i);
  }
  return offset;
}

}  // namespace

TEST_CASE("Shapes: extents, axes, text and what they refuse", "[core][shape]") {
  const Shape s{2, 3, 4};
  CHECK(s.rank() == 3);
  CHECK(s.numel() == 24);
  CHECK(s.back() == 4);
  CHECK(s.axis(-1, "x") == 2);
  CHECK(s.product(1, 3) == 12);
  CHECK(s.with(1, 9) == Shape{2, 9, 4});
  CHECK(s.without(0) == Shape{3, 4});
  CHECK(s.inserted(3, 5) == Shape{2, 3, 4, 5});
  CHECK(s != Shape{2, 3});
  CHECK(s.str() == "(2, 3, 4)");
  CHECK(Shape{7}.str() == "(7,)");
  CHECK(Shape{}.str() == "()");
  CHECK(Shape{}.numel() == 1);
  CHECK(message_of<ShapeError>([&] { s.axis(3, "sum"); }) == "[sum] expected an axis in [-3, 3) of shape (2, 3, 4); got 3");
  CHECK(message_of<ShapeError>([] { Shape{2, -1}; }) == "[shape] expected extents of at least 0; got -1 at axis 1");
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), ShapeError);
  CHECK_THROWS_AS((Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}), ShapeError);
  CHECK_THROWS_AS((Shape{0, std::int64_t{1} << 40, std::int64_t{1} << 40}), ShapeError);  // whose strides would overflow
}

TEST_CASE("Tensors from values and back", "[core][tensor]") {
  const Tensor t = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(t.shape() == Shape{2, 3});
  CHECK(t.dtype() == DType::f32);
  CHECK(t.size(-1) == 3);
  CHECK(t.to_vector<float>() == Floats{1, 2, 3, 4, 5, 6});
  CHECK(t.to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 2, 3, 4, 5, 6});
  CHECK(Tensor::from<bool>({true, false}).to_vector<bool>() == std::vector<bool>{true, false});
  CHECK(Tensor::from<double>({}, {0, 3}).numel() == 0);
  CHECK(message_of<ShapeError>([] { Tensor::from<float>({1, 2}, {3}); }) == "[from] expected 3 values for shape (3,); got 2");
  CHECK(ints(Tensor::arange(4)) == Ints{0, 1, 2, 3});
  CHECK(Tensor::full({2}, 2.5).to_vector<float>() == Floats{2.5f, 2.5f});
  CHECK(Tensor::scalar(3).shape() == Shape{});
}

TEST_CASE("item takes tensors of one element", "[core][tensor]") {
  CHECK(Tensor::from<float>({2.5f}, {1, 1}).item() == 2.5);
  CHECK(Tensor::arange(3).slice(0, 2, 3).item<std::int64_t>() == 2);
  CHECK(message_of<ShapeError>([] { Tensor::ones({2}).item(); }) == "[item] expected one element; got (2,)");
  CHECK(message_of<ShapeError>([] { Tensor().item(); }) == "[item] expected one element; got an undefined tensor");
}

TEST_CASE("Copies share storage, clone does not", "[core][tensor]") {
  Tensor a = Tensor::from<float>({1, 2});
  Tensor b = a, c = a.clone();
  a.fill_(7);
  CHECK(b.shares_storage(a));
  CHECK(b.to_vector<float>() == Floats{7, 7});
  CHECK_FALSE(c.shares_storage(a));
  CHECK(c.to_vector<float>() == Floats{1, 2});
}

TEST_CASE("Views share storage and see writes", "[core][tensor]") {
  Tensor x = counting({2, 3, 4});
  for (const Tensor& view : {x.reshape({6, 4}), x.slice(1, 0, 2), x.select(0, 1), x.transpose(), x.permute({2, 0, 1}),
                             x.unsqueeze(0), x.expand({5, 2, 3, 4}), x.flatten(), x.slice(2, 0, 4, 2).reshape({2, 3, 2, 1})}) {
    INFO(view.shape().str());
    CHECK(view.shares_storage(x));
  }
  x.select(0, 1).slice(1, 1, 3).fill_(-1);
  CHECK(ints(x.select(0, 0)) == ints(Tensor::arange(12)));
  CHECK(ints(x.select(0, 1)) == Ints{12, -1, -1, 15, 16, -1, -1, 19, 20, -1, -1, 23});
}

TEST_CASE("reshape is a view where strides allow and a copy elsewhere", "[core][tensor]") {
  const Tensor x = counting({2, 3, 4});
  CHECK(x.reshape({4, -1}).shape() == Shape{4, 6});
  CHECK(x.reshape({-1}).shape() == Shape{24});
  const Tensor t = x.transpose(0, 1);                // (3, 2, 4)
  CHECK(t.reshape({3, 2, 2, 2}).shares_storage(x));  // splits a dense axis
  CHECK(t.reshape({3, 1, 2, 4}).shares_storage(x));
  CHECK_FALSE(t.reshape({6, 4}).shares_storage(x));  // merges axes that are not neighbours
  CHECK(ints(t.reshape({6, 4})) == ints(t));
  CHECK(x.slice(0, 0, 1).reshape({12}).shares_storage(x));
  CHECK(x.slice(1, 0, 2).reshape({2, 8}).shares_storage(x));
  CHECK_FALSE(x.slice(1, 0, 2).reshape({16}).shares_storage(x));
  CHECK(Tensor::ones({0, 3}).reshape({3, 0}).shape() == Shape{3, 0});
  CHECK(Tensor::ones({}).reshape({1, 1}).shape() == Shape{1, 1});
  CHECK(message_of<ShapeError>([&] { x.reshape({5, 5}); }) == "[reshape] expected 24 elements, as in (2, 3, 4); got (5, 5)");
  CHECK(contains(message_of<ShapeError>([&] { x.reshape({5, -1}); }), "[reshape] expected -1 to stand for a whole number"));
  CHECK_THROWS_AS(x.reshape({-1, -1}), ShapeError);
}

TEST_CASE("Any view reshapes to the same elements", "[core][tensor]") {
  const Tensor x = counting({4, 6, 2});
  for (const Tensor& view : {x, x.transpose(), x.transpose(0, 1), x.slice(1, 1, 6, 2), x.slice(0, 0, 4, 3).transpose(0, 2),
                             x.slice(1, 2, 3), x.permute({1, 2, 0}), x.unsqueeze(2).expand({4, 6, 3, 2})}) {
    const Ints expected = ints(view);
    const std::int64_t n = view.numel();
    for (std::int64_t d = 1; d <= n; ++d)
      if (n % d == 0) {
        INFO(view.shape().str() << " into " << d << " rows");
        CHECK(ints(view.reshape({d, n / d})) == expected);
        CHECK(ints(view.reshape({1, d, 1, n / d})) == expected);
      }
  }
}

TEST_CASE("slice takes steps, negative positions and clamps", "[core][tensor]") {
  const Tensor x = Tensor::arange(6);
  CHECK(ints(x.slice(0, 1, 4)) == Ints{1, 2, 3});
  CHECK(ints(x.slice(0, 0, 6, 2)) == Ints{0, 2, 4});
  CHECK(ints(x.slice(0, 1, 6, 4)) == Ints{1, 5});
  CHECK(ints(x.slice(0, -2, 6)) == Ints{4, 5});
  CHECK(ints(x.slice(0, -100, -4)) == Ints{0, 1});
  CHECK(ints(x.slice(0, 4, 100)) == Ints{4, 5});
  CHECK(x.slice(0, 4, 2).numel() == 0);
  CHECK(ints(x.slice(0, 0, 6, 2).slice(0, 1, 3)) == Ints{2, 4});
  CHECK(ints(counting({2, 3}).select(-1, -1)) == Ints{2, 5});
  CHECK(message_of<ShapeError>([&] { x.slice(0, 0, 6, 0); }) == "[slice] expected a step of at least 1; got 0");
  CHECK(message_of<ShapeError>([&] { x.select(0, 6); }) == "[select] expected an index in [-6, 6) of axis 0 of (6,); got 6");
  CHECK_THROWS_AS(x.slice(1, 0, 1), ShapeError);
}

TEST_CASE("transpose, permute, unsqueeze, squeeze", "[core][tensor]") {
  const Tensor x = counting({2, 3});
  CHECK(ints(x.transpose()) == Ints{0, 3, 1, 4, 2, 5});
  CHECK(x.transpose().shape() == Shape{3, 2});
  CHECK_FALSE(x.transpose().is_contiguous());
  CHECK(x.transpose().contiguous().is_contiguous());
  const Tensor y = counting({2, 3, 4}).permute({2, 0, 1});
  CHECK(y.shape() == Shape{4, 2, 3});
  for_each_index(y.shape(), [&](const Ints& i) {
    CHECK(y.select(0, i[0]).select(0, i[1]).select(0, i[2]).item<std::int64_t>() == i[1] * 12 + i[2] * 4 + i[0]);
  });
  CHECK(x.unsqueeze(-1).shape() == Shape{2, 3, 1});
  CHECK(x.unsqueeze(1).squeeze(1).shape() == x.shape());
  CHECK_THROWS_AS(x.squeeze(0), ShapeError);
  CHECK_THROWS_AS(x.unsqueeze(4), ShapeError);
  CHECK(message_of<ShapeError>([&] { x.permute({0, 0}); }) == "[permute] expected each axis once; got axis 0 twice");
  CHECK_THROWS_AS(x.permute({0}), ShapeError);
}

TEST_CASE("expand repeats without copying", "[core][tensor]") {
  const Tensor x = counting({3, 1});
  CHECK(ints(x.expand({3, 2})) == Ints{0, 0, 1, 1, 2, 2});
  CHECK(ints(x.expand({2, 3, 1})) == Ints{0, 1, 2, 0, 1, 2});
  CHECK(ints(Tensor::arange(1).reshape(Shape{}).expand({2})) == Ints{0, 0});
  CHECK(message_of<ShapeError>([&] {
          x.expand({4, 2});
        }) == "[expand] expected shapes that broadcast together; got (3, 1) and (4, 2)");
  CHECK_THROWS_AS(Tensor::ones({2, 2}).expand({2}), ShapeError);
}

TEST_CASE("Broadcasting is NumPy's", "[core][tensor]") {
  const std::vector<Shape> shapes = {{},        {1},       {3},          {2, 1},       {2, 3}, {1, 3},
                                     {4, 1, 1}, {4, 2, 3}, {1, 1, 1, 1}, {5, 1, 2, 1}, {0, 3}, {4}};
  int compatible = 0, refused = 0;
  for (const Shape& sa : shapes)
    for (const Shape& sb : shapes) {
      INFO(sa.str() << " and " << sb.str());
      const int rank = std::max(sa.rank(), sb.rank());
      bool fits = true;
      std::vector<std::int64_t> extents;
      for (int i = -rank; i < 0; ++i) {
        const std::int64_t m = -i <= sa.rank() ? sa[sa.rank() + i] : 1, n = -i <= sb.rank() ? sb[sb.rank() + i] : 1;
        fits = fits && (m == n || m == 1 || n == 1);
        extents.push_back(m == 1 ? n : m);
      }
      const Tensor a = counting(sa).astype(DType::f64), b = counting(sb).astype(DType::f64) * 100.0;
      if (!fits) {
        CHECK_THROWS_AS(a + b, ShapeError);
        ++refused;
        continue;
      }
      const Tensor c = a + b;
      REQUIRE(c.shape() == Shape(std::span<const std::int64_t>(extents)));
      const std::vector<double> va = a.to_vector<double>(), vb = b.to_vector<double>(), vc = c.to_vector<double>();
      std::size_t k = 0;
      for_each_index(c.shape(), [&](const Ints& i) {
        REQUIRE(vc[k++] ==
                va[static_cast<std::size_t>(broadcast_offset(sa, i))] + vb[static_cast<std::size_t>(broadcast_offset(sb, i))]);
      });
      ++compatible;
    }
  CHECK(compatible > 60);
  CHECK(refused > 10);
}

TEST_CASE("Operations on views read the view's elements", "[core][tensor]") {
  const Tensor x = counting({2, 3}).astype(DType::f32);
  CHECK((x.transpose() + x.transpose()).to_vector<float>() == Floats{0, 6, 2, 8, 4, 10});
  CHECK((x.slice(1, 0, 3, 2) * x.slice(1, 1, 3)).to_vector<float>() == Floats{0, 4, 12, 25});
  CHECK(unary<fn::Neg>(x.transpose()).to_vector<float>() == Floats{0, -3, -1, -4, -2, -5});
}

TEST_CASE("astype converts: towards zero to integers, value != 0 to bool", "[core][tensor]") {
  const Tensor x = Tensor::from<double>({-1.7, 0, 0.3, 2.9});
  CHECK(x.astype(DType::i32).to_vector<std::int32_t>() == std::vector<std::int32_t>{-1, 0, 0, 2});
  CHECK(x.astype(DType::boolean).to_vector<bool>() == std::vector<bool>{true, false, true, true});
  CHECK(Tensor::from<bool>({true, false}).astype(DType::f32).to_vector<float>() == Floats{1, 0});
  CHECK(x.astype(DType::f64).shares_storage(x));
  CHECK(counting({2, 2}).transpose().astype(DType::f32).to_vector<float>() == Floats{0, 2, 1, 3});
  CHECK(Tensor::from<std::uint8_t>({200}).astype(DType::i64).item<std::int64_t>() == 200);
}

TEST_CASE("fill_ and copy_ write through views and convert", "[core][tensor]") {
  Tensor x = Tensor::zeros({2, 3});
  x.select(1, 1).fill_(5);
  CHECK(x.to_vector<float>() == Floats{0, 5, 0, 0, 5, 0});
  x.transpose().copy_(counting({3, 2}));
  CHECK(x.to_vector<float>() == Floats{0, 2, 4, 1, 3, 5});
  x.slice(1, 0, 3, 2).copy_(Tensor::from<double>({7, 8}, {2, 1}).expand({2, 2}));
  CHECK(x.to_vector<float>() == Floats{7, 2, 7, 8, 3, 8});
  CHECK(message_of<ShapeError>([&] { x.copy_(Tensor::ones({3})); }) == "[copy_] expected a source of shape (2, 3); got (3,)");
  CHECK_THROWS_AS(Tensor().fill_(0), ValueError);
}

TEST_CASE("The version counts writes to the storage, whoever makes them", "[core][tensor]") {
  Tensor x = Tensor::zeros({4});
  Tensor view = x.slice(0, 0, 2);
  const std::uint64_t before = x.version();
  CHECK(x.data<float>()[0] == 0);
  CHECK(x.to_vector<float>().size() == 4);
  CHECK(x.version() == before);
  view.fill_(1);
  CHECK(x.version() == before + 1);
  x.mutable_data<float>()[3] = 2;
  CHECK(view.version() == before + 2);
  CHECK(x.clone().version() <= 1);
}

TEST_CASE("data is refused in the wrong type", "[core][tensor]") {
  CHECK(message_of<DTypeError>([] { Tensor::ones({2}).data<double>(); }) == "[data] expected a tensor of f64; got f32");
  CHECK(message_of<DTypeError>([] { Tensor().data<float>(); }) == "[data] expected a tensor of f32; got an undefined tensor");
}

TEST_CASE("Tensors print for people", "[core][tensor]") {
  CHECK(Tensor::from<float>({1, -2, 3, 40, 5, 6}, {2, 3}).str() ==
        "[[ 1., -2.,  3.],\n"
        " [40.,  5.,  6.]]\n"
        "f32 (2, 3)");
  CHECK(Tensor::from<double>({0.5, 1.25, -100}).str() == "[   0.5000,    1.2500, -100.0000]\nf64 (3,)");
  CHECK(Tensor::from<float>({1e-6f, 2.5f}).str() == "[1.0000e-06, 2.5000e+00]\nf32 (2,)");
  CHECK(Tensor::from<double>({1, std::nan(""), -std::numeric_limits<double>::infinity()}).str() ==
        "[  1.,  nan, -inf]\nf64 (3,)");
  CHECK(Tensor::from<bool>({true, false}).str() == "[ true, false]\nbool (2,)");
  CHECK(Tensor::from<std::uint8_t>({7, 255}).str() == "[  7, 255]\nu8 (2,)");
  CHECK(Tensor::scalar(3).str() == "3.\nf32 ()");
  CHECK(Tensor::arange(10).str() == "[0, 1, 2, ..., 7, 8, 9]\ni64 (10,)");
  CHECK(Tensor::arange(6).str() == "[0, 1, 2, 3, 4, 5]\ni64 (6,)");
  CHECK(Tensor::arange(10).str(1) == "[0, ..., 9]\ni64 (10,)");
  CHECK(counting({5, 2}).str(2) == "[[0, 1],\n [2, 3],\n ...,\n [6, 7],\n [8, 9]]\ni64 (5, 2)");
  CHECK(counting({2, 1, 2}).str() == "[[[0, 1]],\n\n [[2, 3]]]\ni64 (2, 1, 2)");
  CHECK(counting({2, 2}).transpose().str() == "[[0, 2],\n [1, 3]]\ni64 (2, 2)");
  CHECK(Tensor::ones({2, 0}).str() == "[[],\n []]\nf32 (2, 0)");
  CHECK(Tensor().str() == "Tensor()");
  std::ostringstream stream;
  stream << Tensor::arange(2);
  CHECK(stream.str() == "[0, 1]\ni64 (2,)");
}

TEST_CASE("A repeated round of work takes nothing from the system", "[core][memory]") {
  const auto round = [] {
    const Tensor a = Tensor::ones({100, 50}), b = Tensor::full({50, 30}, 2);
    return sum(softmax(matmul(a, b)) + 1.0).item();
  };
  const double first = round();
  const MemoryStats before = memory_stats();
  CHECK(round() == first);
  const MemoryStats after = memory_stats();
  CHECK(after.system_allocations == before.system_allocations);
  CHECK(after.allocations > before.allocations);
  CHECK(after.bytes_in_use == before.bytes_in_use);
}

TEST_CASE("The allocator counts use, peak and cache", "[core][memory]") {
  allocator().empty_cache();
  CHECK(memory_stats().bytes_cached == 0);
  reset_peak_memory();
  const std::size_t start = memory_stats().bytes_in_use;
  CHECK(memory_stats().peak_bytes_in_use == start);
  {
    const Tensor x = Tensor::zeros({1 << 20});
    CHECK(memory_stats().bytes_in_use == start + (4u << 20));
    CHECK(reinterpret_cast<std::uintptr_t>(x.raw()) % 64 == 0);
  }
  CHECK(memory_stats().bytes_in_use == start);
  CHECK(memory_stats().peak_bytes_in_use == start + (4u << 20));
  CHECK(memory_stats().bytes_cached == 4u << 20);
  allocator().empty_cache();
  CHECK(memory_stats().bytes_cached == 0);
}

TEST_CASE("The form of a tensor takes no memory and has no values", "[core][memory]") {
  const Tensor x = counting({1024, 1024}).transpose();
  const std::size_t before = memory_stats().bytes_in_use;
  const Tensor form = Tensor::form_of(x);
  CHECK(memory_stats().bytes_in_use <= before + 64);
  CHECK(form.shape() == x.shape());
  CHECK(form.dtype() == x.dtype());
  CHECK(form.is_contiguous());
  CHECK(message_of<ShapeError>([&] { form.item(); }).find("one element") != std::string::npos);
  CHECK(message_of<ShapeError>([&] { form.raw(); }) == "[raw] expected values; got the form (1024, 1024) of a tensor alone");
  CHECK_THROWS_AS(form.to_vector<double>(), ShapeError);
  CHECK_THROWS_AS(sum(form), ShapeError);
  CHECK(Tensor::form_of(Tensor::ones({2, 0})).to_vector<float>().empty());
}

TEST_CASE("An allocation the machine refuses is an error", "[core][memory]") {
#if HEFT_ASAN || defined(__SANITIZE_THREAD__)
  HEFT_SKIP("the sanitizer's allocator ends the program instead of refusing");
#endif
  // An operation is named.
  const Tensor wide = Tensor::ones({1, 1}).expand({1 << 25, 1 << 25});
  CHECK(contains(message_of<MemoryError>([&] { wide + wide; }),
                 "[add] expected 4503599627370496 bytes from the system; it refused, with "));
  // Large enough together, and small each: channels are padded to a vector.
  const Tensor row = Tensor::ones({1}).expand({1 << 22}), images = row.reshape({1, 1, 1 << 11, 1 << 11});
  CHECK(contains(message_of<MemoryError>([&] {
                   conv2d(images, Tensor::ones({1, 1, 1, 1}).expand({1 << 22, 1, 1, 1}));
                 }),
                 "[conv2d] expected "));
  CHECK(contains(message_of<MemoryError>([] { Tensor::empty({std::int64_t{1} << 60}, DType::u8); }),
                 "[allocate] expected 1152921504606846976 bytes from the system"));
  CHECK_THROWS_AS(Tensor::empty({(std::int64_t{1} << 61) + 1}, DType::f32), MemoryError);
  CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 62}, DType::f64), ShapeError);
  CHECK(Tensor::ones({2}).numel() == 2);
}
