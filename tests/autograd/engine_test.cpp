#include "autograd/variable.h"

#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "autograd/linalg.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "core/error.h"
#include "core/ops.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

namespace {

Variable leaf(const std::vector<float>& values) { return Variable(Tensor::from(values), true); }
std::vector<float> grad_of(const Variable& v) { return v.grad().to_vector<float>(); }
using Floats = std::vector<float>;

constexpr std::int64_t kBig = 1 << 16;  // elements; far above what small tensors add to the counts
constexpr std::size_t kBigBytes = kBig * sizeof(float);
std::size_t bytes() { return memory_stats().bytes_in_use; }

}  // namespace

TEST_CASE("backward adds to the gradients of leaves until zero_grad", "[autograd]") {
  Variable x = leaf({1, 2});
  backward(sum(x * 3.0));
  CHECK(grad_of(x) == Floats{3, 3});
  backward(sum(x * x));
  CHECK(grad_of(x) == Floats{5, 7});
  x.zero_grad();
  CHECK_FALSE(x.has_grad());
  backward(sum(x));
  CHECK(grad_of(x) == Floats{1, 1});
}

TEST_CASE("A shared subexpression gets the sum of its gradients once", "[autograd]") {
  Variable x = leaf({2});
  int pulled = 0;
  const Variable h = record("h", x.value() * 3.0, {{x, [&pulled](const Tensor& dy) {
                                                      ++pulled;
                                                      return dy * 3.0;
                                                    }}});
  // y = h^2 + 5 h h^2 with h = 3 x: dy/dx = (2 h + 15 h^2) 3
  const Variable square = h * h;
  backward(square + 5.0 * h * square);
  CHECK(pulled == 1);
  CHECK(grad_of(x) == Floats{3 * (12 + 15 * 36)});
}

TEST_CASE("One variable as both operands", "[autograd]") {
  Variable x = leaf({3});
  backward(x - x);
  CHECK(grad_of(x) == Floats{0});
  backward(x / x + x * x);
  CHECK(grad_of(x)[0] == Approx(6));
}

TEST_CASE("Seeds may have any shape, the root's own", "[autograd]") {
  Variable x = leaf({1, 2, 3});
  backward(x * x, Tensor::from<float>({1, 10, 100}));
  CHECK(grad_of(x) == Floats{2, 40, 600});
  Variable w(Tensor::ones({2, 3}), true);
  backward(w * 2.0, Tensor::full({2, 3}, 4));
  CHECK(grad_of(w) == Floats(6, 8));
  x.zero_grad();
  backward(x, Tensor::from<float>({7, 8, 9}));  // a root that is a leaf
  CHECK(grad_of(x) == Floats{7, 8, 9});
}

TEST_CASE("A seed handed in is not changed by later sweeps", "[autograd]") {
  Variable x = leaf({1, 2});
  const Tensor seed = Tensor::from<float>({1, 1});
  backward(x, seed);
  backward(x, seed);
  CHECK(seed.to_vector<float>() == Floats{1, 1});
  CHECK(grad_of(x) == Floats{2, 2});
}

TEST_CASE("What backward refuses", "[autograd]") {
  Variable x = leaf({1, 2});
  CHECK(message_of<AutogradError>([&] { backward(x * 2.0); }) ==
        "[backward] expected a root of one element; got shape (2,) (pass a seed of that shape)");
  CHECK(message_of<AutogradError>([&] { backward(Variable(Tensor::ones({1}))); }) ==
        "[backward] expected a root that depends on a variable with requires_grad; got a constant of shape (1,)");
  CHECK_THROWS_AS(backward(Variable()), AutogradError);
  CHECK(message_of<ShapeError>([&] { backward(x * 2.0, Tensor::ones({3})); }) ==
        "[backward] expected a seed of shape (2,); got (3,)");
  CHECK_THROWS_AS(backward(x * 2.0, Tensor::ones({2}, DType::f64)), DTypeError);
  CHECK_THROWS_AS(backward(x * 2.0, Tensor()), ShapeError);
}

TEST_CASE("A second backward through a freed graph says so", "[autograd]") {
  Variable x = leaf({1, 2});
  const Variable y = sum(x * x);
  backward(y);
  CHECK(message_of<AutogradError>([&] { backward(y); }) ==
        "[sum] expected a graph not yet swept; this one was freed by an earlier backward() (run the forward again)");
  const Variable h = x * x;
  backward(sum(h));
  CHECK(contains(message_of<AutogradError>([&] { backward(sum(h)); }), "[mul] expected a graph not yet swept"));
}

TEST_CASE("A gradient that is not there is named", "[autograd]") {
  Variable x = leaf({1, 2});
  x.set_name("conv1.weight");
  CHECK(message_of<AutogradError>([&] { x.grad(); }) ==
        "[grad] expected a gradient; 'conv1.weight' of shape (2,) has none (call backward() on something computed from it)");
  CHECK_THROWS_AS(Variable().grad(), AutogradError);
  CHECK_THROWS_AS(x.set_grad(Tensor::ones({3})), ShapeError);
}

TEST_CASE("A saved value changed in place is an error that names the operation", "[autograd]") {
  Variable x = leaf({1, 2});
  const Variable y = sum(x * x);
  Tensor(x.value()).fill_(5);
  CHECK(message_of<AutogradError>([&] { backward(y); }) ==
        "[mul] expected a saved tensor of shape (2,) as it was; it was changed in place 1 time(s) since (clone() it first)");
  // The output of exp is what exp saves; a view of it damages it too.
  const Variable e = exp(x);
  e.value().slice(0, 0, 1).fill_(0);
  CHECK(contains(message_of<AutogradError>([&] { backward(sum(e)); }), "[exp] expected a saved tensor of shape (2,)"));
  // What no pullback reads may change.
  const Variable s = sum(x + x);
  Tensor(x.value()).fill_(7);
  CHECK_NOTHROW(backward(s));
}

TEST_CASE("NoGrad records nothing, and ends with its scope", "[autograd]") {
  Variable x = leaf({1});
  {
    const NoGrad no_grad;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE((x * 2.0).requires_grad());
    { const NoGrad inner; }
    CHECK_FALSE(grad_enabled());
  }
  CHECK(grad_enabled());
  CHECK((x * 2.0).requires_grad());
  CHECK_FALSE(x.detach().requires_grad());
  CHECK(x.detach().value().shares_storage(x.value()));
}

TEST_CASE("requires_grad is a property of leaves of floating point", "[autograd]") {
  Variable x = leaf({1});
  Variable y = x * 2.0;
  CHECK(y.requires_grad());
  CHECK_FALSE(y.is_leaf());
  CHECK_THROWS_AS(y.set_requires_grad(false), AutogradError);
  CHECK_THROWS_AS(y.set_value(Tensor::ones({1})), AutogradError);
  CHECK_THROWS_AS(Variable(Tensor::arange(3), true), DTypeError);
  x.set_requires_grad(false);
  CHECK_FALSE((x * 2.0).requires_grad());
}

TEST_CASE("A graph keeps what its pullbacks saved and nothing else", "[autograd][memory]") {
  Variable x(Tensor::ones({kBig}), true);
  const std::size_t before = bytes();
  Variable y = add(mul(add(neg(x), 1.0), 2.0), x);  // four operations that save nothing
  CHECK(bytes() - before == kBigBytes);             // y
  backward(sum(y));
  CHECK(grad_of(x)[0] == -1);
}

TEST_CASE("An input that needs no gradient costs nothing", "[autograd][memory]") {
  Variable x(Tensor::ones({kBig}), true), frozen(Tensor::full({kBig}, 3), false);
  const std::size_t before = bytes();
  SECTION("what only its pullback would read is not kept") {
    Variable y = mul(add(x, 1.0), frozen);
    CHECK(bytes() - before == kBigBytes);  // y, but not x + 1
    backward(sum(y));
    CHECK(grad_of(x)[7] == 3);
  }
  SECTION("its pullback does not run") {
    int pulled = 0;
    const auto count = [&pulled](const Tensor& dy) {
      ++pulled;
      return dy;
    };
    backward(record("two", x.value() + frozen.value(), {{x, count}, {frozen, count}}), Tensor::ones({kBig}));
    CHECK(pulled == 1);
    CHECK_FALSE(frozen.has_grad());
  }
  SECTION("a convolution's frozen weight does not keep the images") {
    Variable weight(Tensor::ones({16, 16, 1, 1}), false), images(Tensor::ones({1, 16, 64, kBig / 1024}), true);
    const std::size_t start = bytes();
    Variable y = conv2d(add(images, 1.0), weight);
    CHECK(bytes() - start < 2 * kBigBytes);
  }
}

TEST_CASE("Freezing a leaf after the forward pass stops its gradient", "[autograd]") {
  Variable x = leaf({2}), w = leaf({3});
  const Variable y = x * w;
  w.set_requires_grad(false);
  backward(y);
  CHECK(grad_of(x) == Floats{3});
  CHECK_FALSE(w.has_grad());
}

TEST_CASE("Saved tensors are freed as the sweep passes", "[autograd][memory]") {
  constexpr int kLength = 16;
  Variable x(Tensor::full({kBig}, 0.1), true);
  const std::size_t start = bytes();
  std::vector<std::size_t> during;
  Variable y = x;
  for (int i = 0; i < kLength; ++i) {
    y = exp(y * 0.1);  // exp saves its output
    y = record("probe", y.value(), {{y, [&during](const Tensor& dy) {
                                       during.push_back(bytes());
                                       return dy;
                                     }}});
  }
  CHECK(bytes() - start == kLength * kBigBytes);
  Variable root = sum(y);
  y = Variable();
  backward(root);
  REQUIRE(during.size() == kLength);
  // A step frees one saved output; a few gradients are alive at any time.
  for (int i = 1; i < kLength; ++i) {
    INFO("step " << i);
    CHECK(during[static_cast<std::size_t>(i)] - start <= (kLength - static_cast<std::size_t>(i) + 3) * kBigBytes);
  }
  CHECK(bytes() - start <= kBigBytes + 1024);  // x's gradient
}

TEST_CASE("A swept operation has let go of what it saved, though its result is held", "[autograd][memory]") {
  Variable x(Tensor::ones({kBig}), true);
  const Tensor factor = Tensor::ones({kBig});
  const std::size_t before = bytes();
  const Variable y = mul(x, Variable(factor + 1.0));  // saves factor + 1
  CHECK(bytes() - before == 2 * kBigBytes);
  backward(y, factor);
  x.zero_grad();
  CHECK(bytes() - before == kBigBytes);  // y
}

TEST_CASE("A chain of 100,000 operations neither overflows the stack nor leaks", "[autograd][memory]") {
  const std::size_t before = bytes();
  {
    Variable x = leaf({1});
    Variable y = x;
    for (int i = 0; i < 100'000; ++i) y = y + 1e-3;
    backward(y);
    CHECK(grad_of(x) == Floats{1});
    for (int i = 0; i < 100'000; ++i) y = x + y;  // destroyed without a sweep
    Variable captured = x;
    for (int i = 0; i < 100'000; ++i)  // pullbacks that hold Variables, as a user's may
      captured = record("holds", captured.value(), {{captured, [captured](const Tensor& dy) { return dy; }}});
  }
  CHECK(bytes() == before);
}

TEST_CASE("A pullback that returns the wrong thing is named", "[autograd]") {
  Variable x = leaf({1, 2});
  const auto run = [&](const Pullback& pullback) { backward(sum(record("mine", x.value() * 2.0, {{x, pullback}}))); };
  CHECK(message_of<AutogradError>([&] { run([](const Tensor&) { return Tensor::ones({3}); }); }) ==
        "[mine] expected its pullback to return a gradient of shape (2,); got (3,)");
  CHECK(contains(message_of<AutogradError>([&] { run([](const Tensor&) { return Tensor(); }); }), "[mine]"));
  CHECK(contains(message_of<AutogradError>([&] { run([](const Tensor& dy) { return dy.astype(DType::f64); }); }),
                 "[mine] expected its pullback to return a gradient of f32; got f64"));
  const JointPullback too_few = [](const Tensor& dy, const std::vector<bool>&) { return std::vector<Tensor>{dy}; };
  CHECK(message_of<AutogradError>([&] {
          backward(sum(record("joint", x.value(), {x, x}, too_few)));
        }) == "[joint] expected its pullback to return 2 gradients; got 1");
}

TEST_CASE("A joint pullback is told which gradients are needed", "[autograd]") {
  Variable x = leaf({1}), frozen(Tensor::ones({1}));
  std::vector<bool> seen;
  const Variable y = record("joint", x.value() + frozen.value(), {x, frozen, Variable()},
                            [&seen](const Tensor& dy, const std::vector<bool>& needed) {
                              seen = needed;
                              return std::vector<Tensor>{dy, Tensor(), Tensor()};
                            });
  backward(y);
  CHECK(seen == std::vector<bool>{true, false, false});
  CHECK(grad_of(x) == Floats{1});
}

TEST_CASE("backward_count counts sweeps", "[autograd]") {
  Variable x = leaf({1});
  const std::uint64_t before = backward_count();
  backward(x * 2.0);
  backward(x * x, Tensor::ones({1}));
  CHECK(backward_count() == before + 2);
  CHECK_THROWS_AS(backward(Variable()), AutogradError);
  CHECK(backward_count() == before + 2);
}

TEST_CASE("set_value replaces a leaf's value and keeps its identity", "[autograd]") {
  Variable x = leaf({1, 2});
  const void* id = x.id();
  backward(sum(x));
  x.set_value(Tensor::from<float>({3, 4}));
  CHECK(x.id() == id);
  CHECK(x.has_grad());
  x.set_value(Tensor::from<double>({5, 6}));
  CHECK_FALSE(x.has_grad());
  CHECK_THROWS_AS(x.set_value(Tensor::ones({3})), ShapeError);
}

TEST_CASE("Operations report shapes that do not fit by their own name", "[autograd]") {
  const Variable images(Tensor::zeros({64, 1, 28, 28})), weight(Tensor::zeros({32, 3, 3, 3}));
  CHECK(message_of<ShapeError>([&] { conv2d(images, weight); }) ==
        "[conv2d] expected input with 3 channels (weight is (32, 3, 3, 3)), got (64, 1, 28, 28)");
  const Variable a(Tensor::ones({2, 3})), b(Tensor::ones({4}));
  CHECK(message_of<ShapeError>([&] { a + b; }) == "[add] expected shapes that broadcast together; got (2, 3) and (4,)");
  CHECK(message_of<ShapeError>([&] { matmul(a, a); }) == "[matmul] expected inner extents to agree; got (2, 3) and (2, 3)");
  CHECK(message_of<DTypeError>([&] {
          mul(a, Variable(Tensor::ones({2, 3}, DType::f64)));
        }) == "[mul] expected operands of one dtype; got f32 and f64 (convert with astype)");
  CHECK(contains(message_of<AutogradError>([&] { exp(Variable()); }), "expected a defined variable"));
}
