#include "autograd/jvp.h"

#include <algorithm>

#include "autograd/diagnostics.h"
#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "autograd/reduce.h"
#include "core/error.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "optim/exponential_weights.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"

using namespace heft;
using heft::test::contains;
using heft::test::inner_product;
using heft::test::message_of;
using heft::test::normal;

namespace {

Variable leaf(const std::vector<float>& values) { return Variable(Tensor::from(values), true); }
using Floats = std::vector<float>;
Floats values_of(const Tensor& t) { return t.to_vector<float>(); }

constexpr std::int64_t kBig = 1 << 16;
constexpr std::size_t kBigBytes = kBig * sizeof(float);

Variable without_tangent(const Variable& x) {
  return record("plain", x.value() * 2.0, {{x, [](const Tensor& dy) { return dy * 2.0; }}});
}

}  // namespace

TEST_CASE("jvp follows shared subexpressions and both operands", "[autograd][jvp]") {
  const Variable x = leaf({2, -1}), y = leaf({3, 5});
  const Variable h = x * y, z = h * h + x;
  // dz = 2 h (y dx + x dy) + dx
  const Tensor dx = Tensor::from<float>({1, 10}), dy = Tensor::from<float>({0.5, 1});
  CHECK(values_of(jvp(z, {{x, dx}})) == Floats{37, -490});
  CHECK(values_of(jvp(z, {{y, dy}})) == Floats{12, 10});
  CHECK(values_of(jvp(z, {{x, dx}, {y, dy}})) == Floats{49, -480});
  CHECK(values_of(jvp(x * x, {{x, dx}})) == Floats{4, -20});
}

TEST_CASE("jvp leaves the graph whole, for itself and for backward", "[autograd][jvp]") {
  Variable x = leaf({2, -1});
  const Variable y = exp(x) * x;
  const Tensor dx = Tensor::from<float>({1, 3});
  const Floats first = values_of(jvp(y, {{x, dx}}));
  CHECK(values_of(jvp(y, {{x, dx}})) == first);
  CHECK_FALSE(x.has_grad());
  backward(y, Tensor::ones({2}));
  CHECK(x.grad().to_vector<float>()[0] == Approx(first[0]));
  CHECK(3 * x.grad().to_vector<float>()[1] == Approx(first[1]));
}

TEST_CASE("jvp is zero along what the output does not depend on", "[autograd][jvp]") {
  const Variable x = leaf({2, -1}), unused = leaf({1, 2, 3});
  const Variable y = sum(x * 3.0);
  const Tensor still = jvp(y, {{unused, Tensor::ones({3})}});
  CHECK(still.shape() == Shape{});
  CHECK(still.item() == 0);
  CHECK(jvp(y, {}).item() == 0);
  CHECK(values_of(jvp(x, {{x, Tensor::from<float>({4, 5})}})) == Floats{4, 5});
  CHECK(values_of(jvp(x, {{unused, Tensor::ones({3})}})) == Floats{0, 0});
}

TEST_CASE("jvp of a batch's losses is each sample's gradient times the tangents", "[autograd][jvp]") {
  manual_seed(4);
  const ModulePtr net = models::cifar_resnet({.depth = 8, .classes = 3});
  net->astype(DType::f64);
  const Tensor images = normal({3, 3, 8, 8}, 1), labels = Tensor::from<std::int64_t>({2, 0, 1});
  const Variable losses = cross_entropy((*net)(images), labels);  // through the batch's statistics
  std::vector<std::pair<Variable, Tensor>> tangents;
  for (const Variable& p : net->parameters()) tangents.emplace_back(p, normal(p.shape(), 2 + tangents.size()));
  const std::vector<double> slopes = jvp(losses, tangents).to_vector<double>();
  for (std::size_t i = 0; i < 3; ++i) {
    std::vector<double> one(3, 0);
    one[i] = 1;
    for (Variable p : net->parameters()) p.zero_grad();
    backward(losses, Tensor::from(one), {.keep_graph = i < 2});
    double product = 0;
    for (const auto& [p, tangent] : tangents) product += inner_product(p.grad(), tangent);
    CHECK(slopes[i] == Approx(product).epsilon(1e-9));
  }
}

TEST_CASE("jvp of max_pool2d takes ties as the gradient does, in both backends and with windows that overlap",
          "[autograd][jvp]") {
  const Pool2dGeometry geometry{.kernel = {3, 3}, .stride = {2, 1}, .padding = {1, 1}};
  const auto check = [&] {
    const Variable x(Tensor::zeros({2, 16, 7, 6}), true);
    const Variable y = max_pool2d(x, geometry);
    const Tensor dx = normal(x.shape(), 1, DType::f32), w = normal(y.shape(), 2, DType::f32);
    const Tensor dy = jvp(y, {{x, dx}});
    backward(y, w);
    CHECK(inner_product(dy, w) == Approx(inner_product(dx, x.grad())).epsilon(1e-5));
  };
  check();
  const BackendScope scope(reference_backend());
  check();
}

TEST_CASE("jvp passes an optimizer's reduction with the weights that the gradient has", "[autograd][jvp]") {
  const Variable losses = leaf({0.5, 2, 1});
  optim::ExponentialWeights reduction({.lambda = 1});
  const Variable total = reduction.reduce(losses);
  const double slope = jvp(total, {{losses, Tensor::from<float>({1, 10, 100})}}).item();
  const std::vector<double> w = reduction.weights();
  CHECK(slope == Approx((w[0] + 10 * w[1] + 100 * w[2]) / 3));
}

TEST_CASE("jvp refuses tangents that are not those of leaves", "[autograd][jvp]") {
  Variable x = leaf({2, -1});
  const Variable y = x * 3.0, constant(Tensor::ones({2}));
  const Tensor ones = Tensor::ones({2});
  CHECK(message_of<ShapeError>([&] {
          jvp(y, {{x, Tensor::ones({3})}});
        }) == "[jvp] expected a tangent of shape (2,); got (3,)");
  CHECK(message_of<ShapeError>([&] {
          jvp(y, {{x, Tensor()}});
        }) == "[jvp] expected a tangent of shape (2,); got an undefined tensor");
  CHECK(message_of<DTypeError>([&] { jvp(y, {{x, ones.astype(DType::f64)}}); }) == "[jvp] expected a tangent of f32; got f64");
  CHECK(message_of<AutogradError>([&] {
          jvp(y * x, {{y, ones}});
        }) ==
        "[jvp] expected tangents of leaves that require a gradient; got one of the result of an operation, of shape (2,)");
  CHECK(contains(message_of<AutogradError>([&] { jvp(y + constant, {{constant, ones}}); }), "a constant of shape (2,)"));
  CHECK(contains(message_of<AutogradError>([&] { jvp(y, {{Variable(), ones}}); }), "an undefined variable"));
  CHECK(contains(message_of<AutogradError>([&] { jvp(y, {{x, ones}, {x, ones}}); }), "expected each leaf once"));
  CHECK(message_of<AutogradError>([&] {
          jvp(constant, {{x, ones}});
        }) == "[jvp] expected an output that depends on a variable with requires_grad; got a constant of shape (2,)");
}

TEST_CASE("jvp names the operation it cannot pass", "[autograd][jvp]") {
  Variable x = leaf({2, -1}), w = leaf({1, 1});
  const Tensor ones = Tensor::ones({2});
  const Variable y = without_tangent(x) * w;
  CHECK(contains(message_of<AutogradError>([&] { jvp(y, {{x, ones}}); }), "[plain] expected a tangent beside its pullback"));
  CHECK(values_of(jvp(y, {{w, ones}})) == Floats{4, -2});  // the way along w does not touch it
  const JointPullback joint = [](const Tensor& dy, const std::vector<bool>&) { return std::vector<Tensor>{dy, dy}; };
  CHECK(contains(message_of<AutogradError>([&] {
                   jvp(record("joint", x.value() + w.value(), {x, w}, joint), {{x, ones}});
                 }),
                 "[joint] expected a tangent beside its pullback"));
  const Variable wrong =
      record("wrong", x.value(), {{x, [](const Tensor& d) { return d; }, [](const Tensor&) { return Tensor::ones({3}); }}});
  CHECK(message_of<AutogradError>([&] {
          jvp(wrong, {{x, ones}});
        }) == "[wrong] expected its tangent to return a derivative of shape (2,); got (3,)");
}

TEST_CASE("jvp sees a graph that was freed and a saved value that was changed", "[autograd][jvp]") {
  Variable x = leaf({2, -1});
  const Tensor ones = Tensor::ones({2});
  const Variable swept = exp(x), y = swept * 2.0;
  backward(swept, ones);
  CHECK(contains(message_of<AutogradError>([&] { jvp(y, {{x, ones}}); }), "[exp] expected a graph not yet swept"));
  const Variable z = x * x;
  Tensor(x.value()).fill_(1);
  CHECK(contains(message_of<AutogradError>([&] {
                   jvp(z, {{x, ones}});
                 }),
                 "[mul] expected a saved tensor of shape (2,) as it was"));
}

TEST_CASE("jvp tells a joint tangent which inputs move", "[autograd][jvp]") {
  const Variable x = leaf({1}), w = leaf({1}), frozen(Tensor::ones({1}));
  std::vector<bool> seen;
  const auto tangent = [&seen](const std::vector<Tensor>& d) {
    seen.clear();
    for (const Tensor& t : d) seen.push_back(t.defined());
    return d[0].defined() ? d[0] : d[1];
  };
  const JointPullback pullback = [](const Tensor& dy, const std::vector<bool>&) {
    return std::vector<Tensor>{dy, Tensor(), Tensor()};
  };
  const Variable y = record("joint", x.value(), {x, w, frozen, Variable()}, pullback, tangent);
  jvp(y, {{x, Tensor::ones({1})}});
  CHECK(seen == std::vector<bool>{true, false, false, false});
  jvp(y, {{w, Tensor::ones({1})}});
  CHECK(seen == std::vector<bool>{false, true, false, false});
}

TEST_CASE("jvp under anomaly mode, a profile and NoGrad", "[autograd][jvp]") {
  const Variable x = leaf({0, 1});
  const Variable y = sqrt(x) * 0.0;
  const Tensor ones = Tensor::ones({2});
  {
    const AnomalyMode anomaly;
    CHECK(message_of<NumericError>([&] {
            jvp(y, {{x, ones}});
          }) == "[sqrt] expected finite derivatives; this operation's tangent made the first NaN or infinity, in shape (2,)");
  }
  Profile profile;
  jvp(y, {{x, ones}});
  REQUIRE(profile.table().size() == 2);
  CHECK(profile.table()[0].calls == 0);  // nothing runs forward
  CHECK(profile.table()[0].backward_seconds > 0);
  bool recording = true;
  const Variable z = record("probe", x.value(),
                            {{x, [](const Tensor& d) { return d; },
                              [&recording](const Tensor& d) {
                                recording = grad_enabled();
                                return d;
                              }}});
  const std::uint64_t before = jvp_count(), sweeps = backward_count();
  jvp(z, {{x, ones}});
  CHECK_FALSE(recording);
  CHECK(grad_enabled());
  const NoGrad no_grad;
  jvp(z, {{x, ones}});
  CHECK_THROWS_AS(jvp(z, {{x, Tensor::ones({3})}}), ShapeError);
  CHECK(jvp_count() == before + 2);
  CHECK(backward_count() == sweeps);
}

TEST_CASE("jvp lets go of derivatives on its way, and a long chain is no recursion", "[autograd][jvp][memory]") {
  Variable x(Tensor::full({kBig}, 0.1), true);
  const Tensor dx = Tensor::ones({kBig});
  std::size_t most = 0;
  Variable y = x;
  for (int i = 0; i < 16; ++i)
    y = record("probe", exp(y * 0.1).value(),
               {{y, [](const Tensor& d) { return d; },
                 [&most](const Tensor& d) {
                   most = std::max(most, memory_stats().bytes_in_use);
                   return d * 0.1;
                 }}});
  const std::size_t before = memory_stats().bytes_in_use;
  const Tensor dy = jvp(y, {{x, dx}});
  CHECK(most - before <= 3 * kBigBytes);
  CHECK(memory_stats().bytes_in_use - before <= kBigBytes);

  const Variable one = leaf({1});
  Variable chain = one;
  for (int i = 0; i < 100'000; ++i) chain = chain + 1e-3;
  CHECK(values_of(jvp(chain, {{one, Tensor::from<float>({3})}})) == Floats{3});
}

TEST_CASE("backward can keep the graph for another sweep", "[autograd]") {
  Variable x = leaf({2, -1});
  const Variable y = x * x;
  backward(y, Tensor::ones({2}), {.keep_graph = true});
  CHECK(values_of(x.grad()) == Floats{4, -2});
  backward(y, Tensor::ones({2}), {.keep_graph = true});
  CHECK(values_of(x.grad()) == Floats{8, -4});
  CHECK(values_of(jvp(y, {{x, Tensor::ones({2})}})) == Floats{4, -2});
  backward(y, Tensor::ones({2}));
  CHECK(values_of(x.grad()) == Floats{12, -6});
  CHECK_THROWS_AS(backward(y, Tensor::ones({2})), AutogradError);
}
