// A layer of your own, and how to know that its gradient is right.
//
// The layer is a set of radial basis functions: unit k answers exp(-beta_k |x - c_k|^2), near 1 close to its centre c_k and
// near 0 elsewhere. It is written in two ways that are both allowed in one layer: the distance from operations that heft
// differentiates, the bell from an operation made here, with its derivative by hand. check_gradients compares the whole
// with finite differences; shown a derivative with a wrong factor, it says so. Then the layer solves XOR.
#include <heft/heft.h>

#include <cstdlib>
#include <iostream>

using namespace heft;

namespace {

// exp(-x): the value, and for its input a pullback from d objective / d result to d objective / d x and a tangent from a
// movement of x to that of the result; for an elementwise function both multiply by the derivative. What they capture is
// what is saved.
Variable bell(const Variable& x, double factor = -1) {
  const Tensor y = unary<fn::Exp>(-x.value());
  const auto derivative = [y = Saved(y), factor](const Tensor& d) { return d * y * factor; };
  return record("bell", y, {{x, derivative, derivative}});
}

struct RadialBasisOptions {
  std::int64_t in_features = 0;
  std::int64_t units = 0;
};

class RadialBasis : public Module {
 public:
  using Options = RadialBasisOptions;
  explicit RadialBasis(const Options& o) {
    if (o.in_features < 1) throw ValueError("RadialBasis", "expected in_features >= 1; got " + std::to_string(o.in_features));
    if (o.units < 1) throw ValueError("RadialBasis", "expected units >= 1; got " + std::to_string(o.units));
    centres_ = register_parameter("centres", init::uniform({o.units, o.in_features}, -1, 1));
    beta_ = register_parameter("beta", init::constant({o.units}, 1));
  }

  // (N, in) -> (N, units)
  Variable forward(const Variable& x) override {
    const Variable offsets = reshape(x, {x.size(0), 1, x.size(1)}) - centres_;  // (N, units, in)
    return bell(beta_ * sum(offsets * offsets, {2}));
  }
  std::string describe() const override { return "RadialBasis(" + centres_.shape().str() + ")"; }

 private:
  Variable centres_, beta_;
};

}  // namespace

int main() {
  manual_seed(1);

  // In double, because finite differences need the digits. With respect to the parameters, and to the input.
  RadialBasis rbf({.in_features = 3, .units = 4});
  rbf.astype(DType::f64);
  const Tensor x = random_normal({5, 3}, 0, 1, DType::f64);
  const GradientCheckReport parameters = check_gradients([&] { return rbf(x); }, rbf.parameters());
  const GradientCheckReport input = check_gradients([&](const std::vector<Variable>& v) { return rbf(v[0]); }, {x});
  std::cout << "parameters: " << (parameters.ok ? "right" : parameters.message) << ", " << parameters.checked << " entries\n"
            << "input: " << (input.ok ? "right" : input.message) << ", " << input.checked << " entries\n";

  const GradientCheckReport wrong = check_gradients([](const std::vector<Variable>& v) { return bell(v[0], -1.01); }, {x});
  std::cout << "one per cent too much: " << (wrong.ok ? "not noticed" : wrong.message) << "\n\n";

  // The layer is used like any other.
  const auto net =
      sequential({layer<RadialBasis>({.in_features = 2, .units = 8}), layer<Linear>({.in_features = 8, .out_features = 1})});
  const Tensor corners = Tensor::from<float>({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2});
  const Tensor is_xor = Tensor::from<float>({0, 1, 1, 0}, {4, 1});
  optim::Adam opt(net->parameters(), {.lr = 0.05});
  for (int step = 0; step < 300; ++step) opt.minimize(binary_cross_entropy_with_logits((*net)(corners), is_xor));

  const std::vector<float> p = sigmoid((*net)(corners)).value().to_vector<float>();
  std::cout << "P(xor) at (0,0) (0,1) (1,0) (1,1): " << p[0] << " " << p[1] << " " << p[2] << " " << p[3] << "\n";
  const bool solved = p[0] < 0.1 && p[1] > 0.9 && p[2] > 0.9 && p[3] < 0.1;
  return parameters.ok && input.ok && !wrong.ok && solved ? EXIT_SUCCESS : EXIT_FAILURE;
}
