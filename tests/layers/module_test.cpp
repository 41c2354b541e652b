#include "layers/module.h"

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "core/error.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "layers/activation.h"
#include "layers/linear.h"
#include "layers/models.h"
#include "layers/norm.h"
#include "layers/sequential.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

namespace {

// Everything a module can own, at two levels.
class Inner : public Module {
 public:
  Inner() {
    scale = register_parameter("scale", Tensor::full({3}, 2));
    offset = &register_buffer("offset", Tensor::full({3}, 1));
    register_buffer("count", Tensor::zeros({}, DType::i64));
  }
  Variable forward(const Variable& x) override { return x * scale + *offset; }
  Variable scale;
  Tensor* offset;
};

class Outer : public Module {
 public:
  Outer() {
    inner = register_module("inner", std::make_shared<Inner>());
    last = register_module("last", layer<Linear>({.in_features = 3, .out_features = 2}));
    gain = register_parameter("gain", Tensor::ones({1}));
  }
  Variable forward(const Variable& x) override { return (*last)((*inner)(x)) * gain; }
  std::shared_ptr<Inner> inner;
  std::shared_ptr<Linear> last;
  Variable gain;
};

// Opens what is protected.
class Open : public Module {
 public:
  using Module::register_buffer;
  using Module::register_module;
  using Module::register_parameter;
  Variable forward(const Variable& x) override { return x; }
};

template <class Entries>
std::vector<std::string> names(const Entries& entries) {
  std::vector<std::string> all;
  for (const auto& [name, value] : entries) all.push_back(name);
  return all;
}
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("module names are dotted paths, own before those within", "[layers]") {
  Outer net;
  CHECK(names(net.named_parameters()) == Names{"gain", "inner.scale", "last.weight", "last.bias"});
  CHECK(names(net.named_buffers()) == Names{"inner.offset", "inner.count"});
  CHECK(names(net.named_modules()) == Names{"", "inner", "last"});
  CHECK(net.parameters()[1].name() == "inner.scale");
  CHECK(net.parameter_count() == 1 + 3 + 6 + 2);
  CHECK(&net.module("last") == net.last.get());
  CHECK(contains(message_of<ValueError>([&] { net.module("lost"); }), "expected one of inner, last; got 'lost'"));
}

TEST_CASE("a parameter keeps its full name however deep and late it is registered", "[layers]") {
  const auto root = std::make_shared<Open>(), middle = std::make_shared<Open>(), leaf = std::make_shared<Open>();
  leaf->register_parameter("early", Tensor::ones({1}));
  middle->register_module("leaf", leaf);
  root->register_module("middle", middle);
  leaf->register_parameter("late", Tensor::ones({1}));
  CHECK(root->parameters()[0].name() == "middle.leaf.early");
  CHECK(root->parameters()[1].name() == "middle.leaf.late");
  CHECK(names(leaf->named_parameters()) == Names{"early", "late"});
}

TEST_CASE("shared parameters and modules are listed once, under the first name", "[layers]") {
  Open net;
  const auto shared = layer<Linear>({.in_features = 2, .out_features = 2, .bias = false});
  net.register_module("a", shared);
  net.register_module("b", shared);
  net.register_parameter("tied", shared->weight());
  CHECK(names(net.named_parameters()) == Names{"tied"});
  CHECK(net.parameter_count() == 4);
  CHECK(names(net.named_modules()) == Names{"", "a"});
}

TEST_CASE("wrong names are refused", "[layers]") {
  const auto net = std::make_shared<Open>(), other = std::make_shared<Open>();
  net->register_parameter("weight", Tensor::ones({1}));
  CHECK(contains(message_of<ValueError>([&] { net->register_buffer("weight", Tensor::ones({1})); }), "'weight' is taken"));
  CHECK(contains(message_of<ValueError>([&] { net->register_parameter("a.b", Tensor::ones({1})); }), "got 'a.b'"));
  CHECK_THROWS_AS(net->register_parameter("", Tensor::ones({1})), ValueError);
  CHECK_THROWS_AS(net->register_module("none", ModulePtr()), ValueError);
  CHECK_THROWS_AS(net->register_module("self", net), ValueError);
  other->register_module("net", net);
  CHECK_THROWS_AS(net->register_module("loop", other), ValueError);
}

TEST_CASE("train and eval reach every module", "[layers]") {
  Outer net;
  CHECK(net.training());
  net.eval();
  for (const auto& [name, module] : net.named_modules()) CHECK_FALSE(module->training());
  net.train();
  CHECK(net.inner->training());
}

TEST_CASE("frozen parameters get no gradient", "[layers]") {
  Outer net;
  net.inner->set_requires_grad(false);
  backward(sum(net(Tensor::ones({4, 3}))));
  CHECK_FALSE(net.inner->scale.has_grad());
  CHECK(net.last->weight().has_grad());
  net.inner->set_requires_grad(true);
  backward(sum(net(Tensor::ones({4, 3}))));
  CHECK(net.inner->scale.has_grad());
}

TEST_CASE("astype converts floating values and leaves counters alone", "[layers]") {
  Outer net;
  net.astype(DType::f64);
  for (const Variable& p : net.parameters()) CHECK(p.dtype() == DType::f64);
  CHECK(net.inner->offset->dtype() == DType::f64);
  CHECK(net.named_buffers()[1].second->dtype() == DType::i64);
  CHECK(net(Tensor::ones({1, 3}, DType::f64)).dtype() == DType::f64);
  CHECK_THROWS_AS(net.astype(DType::i32), DTypeError);
}

TEST_CASE("to moves parameters and floating buffers, or says why it cannot", "[layers]") {
  Outer net;
  net.to(Device::cpu());
  if (!cuda::is_available()) {
    CHECK_THROWS_AS(net.to(Device::cuda()), DeviceError);
    CHECK(net(Tensor::ones({1, 3})).device() == Device::cpu());
    return;
  }
  net.to(Device::cuda());
  for (const Variable& p : net.parameters()) CHECK(p.device() == Device::cuda());
  CHECK(net.inner->offset->device() == Device::cuda());
  CHECK(net.named_buffers()[1].second->device() == Device::cpu());
  CHECK(net.state().at("inner.scale").device() == Device::cpu());
}

TEST_CASE("state is a snapshot that another module can load", "[layers]") {
  Outer from, to;
  auto state = from.state();
  CHECK(names(state) == Names{"gain", "inner.count", "inner.offset", "inner.scale", "last.bias", "last.weight"});
  from.inner->offset->fill_(7);
  CHECK(state.at("inner.offset").to_vector<float>() == std::vector<float>{1, 1, 1});
  state.at("inner.offset").fill_(5);

  to.astype(DType::f64);
  const Tensor* offset = to.inner->offset;
  to.load_state(state);
  CHECK(to.inner->offset == offset);
  CHECK(offset->dtype() == DType::f64);
  CHECK(offset->to_vector<float>() == std::vector<float>{5, 5, 5});
  CHECK(to.last->weight().value().to_vector<float>() == from.last->weight().value().to_vector<float>());
  state.at("inner.offset").fill_(6);
  CHECK(offset->to_vector<float>() == std::vector<float>{5, 5, 5});
}

TEST_CASE("load_state lists what does not fit and then changes nothing", "[layers]") {
  Outer net;
  const std::vector<float> before = net.last->weight().value().to_vector<float>();
  auto state = Outer().state();
  state.erase("inner.scale");
  state["extra"] = Tensor::ones({1});
  state["last.bias"] = Tensor::ones({5});
  const std::string message = message_of<ValueError>([&] { net.load_state(state); });
  CHECK(contains(message, "[load_state]"));
  CHECK(contains(message, "missing: inner.scale"));
  CHECK(contains(message, "left over: extra"));
  CHECK(contains(message, "of another shape: last.bias (expected (2,), got (5,))"));
  CHECK(net.last->weight().value().to_vector<float>() == before);

  CHECK_FALSE(contains(message_of<ValueError>([&] { net.load_state(state, false); }), "missing"));
  state.erase("last.bias");
  net.load_state(state, false);
  CHECK(net.last->weight().value().to_vector<float>() == state.at("last.weight").to_vector<float>());
}

TEST_CASE("the state of a network restores its results", "[layers]") {
  manual_seed(3);
  const auto a = models::cifar_resnet({.depth = 8}), b = models::cifar_resnet({.depth = 8});
  const Tensor x = random_normal({2, 3, 8, 8});
  (*a)(x);  // moves the running statistics
  b->load_state(a->state());
  a->eval();
  b->eval();
  CHECK((*a)(x).value().to_vector<float>() == (*b)(x).value().to_vector<float>());
  CHECK(b->state().at("bn1.num_batches_tracked").item<std::int64_t>() == 1);
}

TEST_CASE("features returns intermediate results that are part of the graph", "[layers]") {
  Outer net;
  auto found = net.features(Tensor::ones({2, 3}), {"inner", ""});
  REQUIRE(found.size() == 2);
  CHECK(found.at("inner").value().to_vector<float>() == std::vector<float>(6, 3));
  CHECK(found.at("").shape() == Shape{2, 2});
  backward(sum(found.at("inner")));
  CHECK(net.inner->scale.has_grad());
  CHECK_THROWS_AS(net.features(Tensor::ones({2, 3}), {"outer"}), ValueError);

  Open idle;
  idle.register_module("unused", layer<ReLU>());
  CHECK(contains(message_of<ValueError>([&] { idle.features(Tensor::ones({1}), {"unused"}); }), "'unused' to run"));
}

TEST_CASE("observers nest and end with their scope", "[layers]") {
  Outer net;
  Names outer, inner;
  {
    const ForwardObserver a([&](const Module& m, const Variable&) { outer.push_back(m.describe()); });
    {
      const ForwardObserver b([&](const Module& m, const Variable&) { inner.push_back(m.describe()); });
      net(Tensor::ones({1, 3}));
    }
    net(Tensor::ones({1, 3}));
  }
  net(Tensor::ones({1, 3}));
  CHECK(inner == Names{"Module", "Linear(3 -> 2)", "Module"});
  CHECK(outer.size() == 6);
}
