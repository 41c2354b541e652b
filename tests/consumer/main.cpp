// What somebody else's program does with heft: one header, one library, one error caught.
#include <heft/heft.h>

#include <iostream>

int main() {
  const heft::Tensor x = heft::Tensor::full({2, 3}, 2.0);
  std::cout << x * x << '\n';
  try {
    x + heft::Tensor::ones({4});
  } catch (const heft::ShapeError& error) {
    std::cout << error.what() << '\n';
    return 0;
  }
  return 1;
}
