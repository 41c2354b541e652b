#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/ops.h"
#include "optim/absgd.h"
#include "tests/catch_compat.h"

using namespace heft;
using namespace heft::optim;
using heft::test::contains;
using heft::test::message_of;

namespace {

Variable parameter(const std::vector<double>& values, const char* name = "") {
  Variable v(Tensor::from(values), true);
  if (*name) v.set_name(name);
  return v;
}
std::vector<double> values(const Variable& v) { return v.value().to_vector<double>(); }

}  // namespace

TEST_CASE("SGD steps as worked out by hand", "[optim]") {
  Variable p = parameter({1, -2});
  SGD plain({p}, {.lr = 0.1, .weight_decay = 0.5});
  p.set_grad(Tensor::from(std::vector<double>{1, 1}));
  plain.step();
  CHECK(values(p) == std::vector<double>{1 - 0.1 * 1.5, -2 - 0.1 * 0});

  Variable q = parameter({1});
  SGD momentum({q}, {.lr = 0.1, .momentum = 0.5, .dampening = 0.25});
  q.set_grad(Tensor::from(std::vector<double>{2}));
  momentum.step();  // v = 2
  CHECK(values(q)[0] == Approx(0.8));
  momentum.step();  // v = 0.5 * 2 + 0.75 * 2 = 2.5
  CHECK(values(q)[0] == Approx(0.55));

  Variable r = parameter({1});
  SGD nesterov({r}, {.lr = 0.1, .momentum = 0.5, .nesterov = true});
  r.set_grad(Tensor::from(std::vector<double>{2}));
  nesterov.step();  // d = 2 + 0.5 * 2
  CHECK(values(r)[0] == Approx(0.7));
  nesterov.step();  // v = 3, d = 3.5
  CHECK(values(r)[0] == Approx(0.35));
}

TEST_CASE("Adam steps as worked out by hand", "[optim]") {
  Variable p = parameter({1}), q = parameter({1});
  Adam adam({p}, {.lr = 0.1, .eps = 1e-12, .weight_decay = 1});
  AdamW adamw({q}, {.lr = 0.1, .eps = 1e-12, .weight_decay = 1});
  p.set_grad(Tensor::from(std::vector<double>{3}));
  q.set_grad(Tensor::from(std::vector<double>{3}));
  adam.step();
  adamw.step();
  CHECK(values(p)[0] == Approx(0.9));            // the first step is lr times the sign
  CHECK(values(q)[0] == Approx(1 - 0.1 - 0.1));  // and the decay beside it
}

TEST_CASE("groups have rates of their own, and a factor scales all", "[optim]") {
  Variable a = parameter({1}), b = parameter({1});
  SGD opt({{.parameters = {a}, .lr = 1.0, .weight_decay = 0.0}, {.parameters = {b}}}, {.lr = 0.1, .weight_decay = 1});
  CHECK(opt.groups() == 2);
  a.set_grad(Tensor::zeros({1}, DType::f64));
  b.set_grad(Tensor::zeros({1}, DType::f64));
  opt.step();
  CHECK(values(a)[0] == 1.0);
  CHECK(values(b)[0] == Approx(0.9));
  opt.set_lr_factor(0.5);
  CHECK(opt.lr(0) == 0.5);
  CHECK(opt.lr(1) == Approx(0.05));
  opt.set_lr(0.2, 1);
  CHECK(opt.lr(1) == Approx(0.1));
  opt.set_lr(4);
  CHECK(opt.lr(0) == 2.0);
  CHECK_THROWS_AS(opt.lr(2), ValueError);
  CHECK_THROWS_AS(opt.set_lr(-1), ValueError);
}

TEST_CASE("frozen parameters and those without a gradient stay", "[optim]") {
  Variable used = parameter({1}), frozen = parameter({1}), unused = parameter({1});
  SGD opt({used, frozen, unused}, {.lr = 1, .momentum = 0.9, .weight_decay = 1});
  CHECK(contains(message_of<AutogradError>([&] { opt.step(); }), "[sgd] expected gradients; none of the 3 parameters has one"));
  used.set_grad(Tensor::zeros({1}, DType::f64));
  frozen.set_grad(Tensor::zeros({1}, DType::f64));
  frozen.set_requires_grad(false);
  opt.step();
  CHECK(values(used)[0] == 0.0);
  CHECK(values(frozen)[0] == 1.0);
  CHECK(values(unused)[0] == 1.0);
  opt.zero_grad();
  CHECK_FALSE(used.has_grad());
}

TEST_CASE("clipping bounds the norm of all gradients together and writes to none", "[optim]") {
  Variable a = parameter({0}), b = parameter({0, 0}, "fc.bias");
  const Tensor shared = Tensor::from(std::vector<double>{3});
  a.set_grad(shared);
  b.set_grad(Tensor::from(std::vector<double>{0, 4}));
  CHECK(gradient_norm({a, b}) == Approx(5));
  SGD opt({a, b}, {.lr = 1, .clip_norm = 1});
  opt.step();
  CHECK(values(a)[0] == Approx(-0.6));
  CHECK(values(b)[1] == Approx(-0.8));
  CHECK(shared.item() == 3.0);
  CHECK(a.grad().item() == 3.0);
  SGD loose({a, b}, {.lr = 1, .clip_norm = 6});  // a bound above the norm does nothing
  loose.step();
  CHECK(values(a)[0] == Approx(-3.6));

  CHECK(clip_gradient_norm({a, b}, 10) == Approx(5));
  CHECK(a.grad().shares_storage(shared));
  CHECK(clip_gradient_norm({a, b}, 2.5) == Approx(5));
  CHECK(a.grad().item() == Approx(1.5));
  CHECK(shared.item() == 3.0);
  b.set_grad(Tensor::from(std::vector<double>{0, std::numeric_limits<double>::quiet_NaN()}));
  CHECK(contains(message_of<NumericError>([&] { opt.step(); }), "that of 'fc.bias' is not"));

  Variable large(Tensor::from(std::vector<float>{0}), true);
  large.set_grad(Tensor::from(std::vector<float>{1e30F}));
  CHECK(gradient_norm({large}) == Approx(1e30));
}

TEST_CASE("a bound so small that no gradient is left leaves momentum and decay", "[optim]") {
  Variable w(Tensor::from<double>({1}), true);
  SGD sgd({w}, {.lr = 0.1, .momentum = 0.9, .dampening = 0.5, .weight_decay = 0.1, .clip_norm = 1e-300});
  w.set_grad(Tensor::from<double>({1e100}));
  sgd.step();
  CHECK(w.value().item() == Approx(0.99));  // the velocity begins as the decay, 0.1
  w.set_grad(Tensor::from<double>({1}));
  sgd.step();
  CHECK(w.value().item() == Approx(0.99 - 0.1 * (0.9 * 0.1 + 0.5 * 0.099)));
}

TEST_CASE("state has dotted names and goes back", "[optim]") {
  Variable a = parameter({1, 2}, "fc.weight"), b = parameter({3});
  ABSGD opt({a, b}, {.lr = 0.1});
  a.set_grad(Tensor::from(std::vector<double>{1, 1}));
  opt.step();
  const auto state = opt.state();
  CHECK(state.at("fc.weight.momentum").shape() == Shape{2});
  CHECK(state.at("fc.weight.steps").item() == 1.0);
  CHECK(state.at("param.1.steps").item() == 0.0);
  CHECK_FALSE(state.contains("param.1.momentum"));
  CHECK(state.at("groups.0.lr").item() == 0.1);
  CHECK(state.at("reduction.lambda").item() == 5.0);
  opt.step();  // a copy: it stays as it was
  CHECK(state.at("fc.weight.momentum").to_vector<double>()[0] == Approx(1 + 5e-4));

  ABSGD other({a, b}, {});
  other.load_state(state);
  CHECK(other.lr() == 0.1);
  CHECK(other.state().at("fc.weight.momentum").to_vector<double>() == state.at("fc.weight.momentum").to_vector<double>());

  auto broken = state;
  broken.erase("fc.weight.steps");
  CHECK(contains(message_of<ValueError>([&] { other.load_state(broken); }), "'fc.weight.steps'"));
  broken = state;
  broken.erase("fc.weight.momentum");
  CHECK_THROWS_AS(other.load_state(broken), ValueError);
  broken = state;
  broken["fc.weight.momentum"] = Tensor::zeros({3}, DType::f64);
  CHECK(contains(message_of<ShapeError>([&] { other.load_state(broken); }), "for 'fc.weight.momentum'; got (3"));
  broken = state;
  broken["fc.weigth.momentum"] = Tensor::zeros({2}, DType::f64);
  CHECK_THROWS_AS(other.load_state(broken), ValueError);
  broken = state;
  broken.erase("reduction.log_u");
  CHECK(contains(message_of<ValueError>([&] { other.load_state(broken); }), "'log_u'"));
}

TEST_CASE("two parameters of one name are told apart in the state", "[optim]") {
  Variable a = parameter({1}, "weight"), b = parameter({2}, "weight");
  SGD opt({a, b});
  CHECK(opt.state().contains("weight.steps"));
  CHECK(opt.state().contains("param.1.steps"));
}

TEST_CASE("optimizers refuse bad options by name", "[optim]") {
  Variable p = parameter({1}, "w");
  const auto sgd = [&](SGDOptions o) { return [&p, o] { SGD({p}, o); }; };
  const auto adam = [&](AdamOptions o) { return [&p, o] { Adam({p}, o); }; };
  const auto absgd = [&](ABSGDOptions o) { return [&p, o] { ABSGD({p}, o); }; };
  CHECK(message_of<ValueError>(sgd({.lr = -1})) == "[sgd] expected a finite lr of at least 0; got -1");
  CHECK(contains(message_of<ValueError>(sgd({.lr = std::nan("")})), "lr"));
  CHECK(contains(message_of<ValueError>(sgd({.momentum = 1})), "momentum in [0, 1)"));
  CHECK(contains(message_of<ValueError>(sgd({.dampening = 2})), "dampening"));
  CHECK(contains(message_of<ValueError>(sgd({.nesterov = true})), "nesterov"));
  CHECK(contains(message_of<ValueError>(sgd({.weight_decay = -1})), "weight_decay"));
  CHECK(contains(message_of<ValueError>(sgd({.clip_norm = 0})), "clip_norm"));
  CHECK(contains(message_of<ValueError>(adam({.beta1 = 1})), "beta1"));
  CHECK(contains(message_of<ValueError>(adam({.beta2 = -0.1})), "beta2"));
  CHECK(contains(message_of<ValueError>(adam({.eps = 0})), "eps"));
  CHECK(contains(message_of<ValueError>(absgd({.lambda = 0})), "[absgd] expected lambda of at least 0.001"));
  CHECK(contains(message_of<ValueError>(absgd({.lambda = -1e-4})), "lambda"));
  CHECK(contains(message_of<ValueError>(absgd({.lambda = -std::numeric_limits<double>::infinity()})), "lambda"));
  CHECK(contains(message_of<ValueError>(absgd({.lambda = std::nan("")})), "lambda"));
  CHECK(contains(message_of<ValueError>(absgd({.gamma = 0})), "gamma in (0, 1]; got 0"));
  CHECK(contains(message_of<ValueError>(absgd({.gamma = 1.1})), "gamma"));
  CHECK(contains(message_of<ValueError>(absgd({.alpha = 0})), "alpha"));
  CHECK(contains(message_of<ValueError>(absgd({.clip = -1})), "clip"));
  CHECK(contains(message_of<ValueError>([&] { SGD({p, p}); }), "'w' (parameter 1) comes again"));
  const Variable same(p.value(), true);
  CHECK(contains(message_of<ValueError>([&] { SGD({p, same}); }), "(parameter 1) lies in the memory of another"));
  CHECK(contains(message_of<ValueError>([&] { SGD(std::vector<Variable>{}); }), "at least one parameter"));
  CHECK(contains(message_of<ValueError>([&] { SGD({p, Variable()}); }), "parameter 1 is not"));
  CHECK(contains(message_of<ValueError>([&] { SGD({p}, {}, nullptr); }), "a reduction"));
}

TEST_CASE("what is remembered follows a parameter into another layout", "[optim]") {
  std::vector<float> start, slope;
  for (int i = 0; i < 16 * 8 * 3 * 3; ++i) {
    start.push_back(0.01F * static_cast<float>(i % 37));
    slope.push_back(0.1F * static_cast<float>(i % 11) - 0.5F);
  }
  const Shape shape{16, 8, 3, 3};
  const Tensor image = Tensor::zeros({4, 8, 6, 6}), gradient = Tensor::from(slope, shape);
  const Tensor blocked = conv2d_prepare_weight(Tensor::from(start, shape), image, {.padding = {1, 1}});
  if (!blocked.is_opaque()) HEFT_SKIP("this backend keeps convolution weights row-major");

  for (const bool adaptive : {false, true}) {
    Variable plain(Tensor::from(start, shape), true), moved(Tensor::from(start, shape), true);
    const auto make = [&](const Variable& p) -> std::unique_ptr<Optimizer> {
      if (adaptive) return std::make_unique<Adam>(std::vector<Variable>{p}, AdamOptions{.weight_decay = 0.1, .clip_norm = 1});
      return std::make_unique<SGD>(std::vector<Variable>{p}, SGDOptions{.momentum = 0.9, .weight_decay = 0.1, .clip_norm = 1});
    };
    const std::unique_ptr<Optimizer> one = make(plain), two = make(moved);
    for (int step = 0; step < 4; ++step) {
      if (step == 2) {
        moved.set_layout_of_value(conv2d_prepare_weight(moved.value(), image, {.padding = {1, 1}}));
        REQUIRE(moved.value().is_opaque());
      }
      plain.set_grad(gradient);
      moved.set_grad(gradient);
      one->step();
      two->step();
    }
    CHECK(values(moved) == values(plain));
    const auto state = two->state();
    for (const auto& [name, tensor] : one->state()) {
      INFO(name);
      CHECK_FALSE(state.at(name).is_opaque());
      CHECK(state.at(name).to_vector<float>() == tensor.to_vector<float>());
    }
    two->load_state(state);  // row-major again, into a parameter that is not
    one->step();
    two->step();
    CHECK(values(moved) == values(plain));
  }
}
