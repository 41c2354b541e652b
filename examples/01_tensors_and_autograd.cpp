// Tensors and gradients.
//
// A Tensor is a shaped array of values and nothing else. A Variable is a Tensor that remembers how it was computed, so that
// backward() can say how the result changes with every Variable that asked for a gradient. This example makes some tensors,
// differentiates a function by hand and by machine, and fits a line to noisy points by following the gradient downhill.
#include <heft/heft.h>

#include <cmath>
#include <cstdlib>
#include <iostream>

using namespace heft;

int main() {
  // Tensors: made from values, looked at through views that share them, combined with NumPy's broadcasting.
  Tensor table = Tensor::arange(6, DType::f32).reshape({2, 3});
  const Tensor column = table.slice(1, 0, 1);  // (2, 1), the same memory
  std::cout << "table\n" << table << "\ntable - its first column\n" << table - column << "\n";
  table.fill_(7);
  std::cout << "the view sees the change: " << column.to_vector<float>()[0] << "\n\n";

  // Gradients: y = x^3 + 2 x at x = 2 has dy/dx = 3 x^2 + 2 = 14.
  const Variable x(Tensor::scalar(2), true);
  backward(x * x * x + 2 * x);
  std::cout << "dy/dx = " << x.grad().item() << ", by hand 14\n\n";

  // A mistake says what was expected and what came.
  try {
    matmul(Tensor::ones({2, 3}), Tensor::ones({4, 5}));
  } catch (const ShapeError& error) {
    std::cout << "an error reads: " << error.what() << "\n\n";
  }

  // Fit y = a t + b to points of y = 3 t - 1 with noise: the parameters are Variables, the data are Tensors.
  manual_seed(1);
  const Tensor t = random_uniform({100}, -1, 1);
  const Tensor y = t * 3 - 1 + random_normal({100}, 0, 0.1);
  Variable a(Tensor::scalar(0), true), b(Tensor::scalar(0), true);
  for (int step = 0; step < 200; ++step) {
    const Variable loss = mean(pow(a * t + b - y, 2));
    a.zero_grad();
    b.zero_grad();
    backward(loss);
    a.set_value(a.value() - a.grad() * 0.1);
    b.set_value(b.value() - b.grad() * 0.1);
    if (step % 50 == 0) std::cout << "step " << step << ": loss " << loss.value().item() << "\n";
  }
  std::cout << "a = " << a.value().item() << " (3), b = " << b.value().item() << " (-1)\n";
  const bool fitted = std::abs(a.value().item() - 3) < 0.1 && std::abs(b.value().item() + 1) < 0.1;
  return fitted ? EXIT_SUCCESS : EXIT_FAILURE;
}
