#include "autograd/trace.h"

#include <string>
#include <vector>

#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "autograd/reduce.h"
#include "autograd/shape_ops.h"
#include "tests/catch_compat.h"

using namespace heft;

TEST_CASE("trace: operations are seen in order, with what they were given, under NoGrad too", "[autograd]") {
  const Variable x(Tensor::ones({2, 3, 4, 4}), true), weight(Tensor::ones({5, 3, 3, 3}), true);
  std::vector<std::string> seen;
  std::vector<std::int64_t> stride;
  double constant = 0;
  const auto run = [&] {
    const OperationObserver watch([&](const Operation& operation) {
      seen.push_back(operation.op);
      if (seen.back() == "conv2d") {
        CHECK(operation.inputs.size() == 3);
        CHECK(operation.inputs[0] == x);
        CHECK_FALSE(operation.inputs[2].defined());
        CHECK(operation.attributes.front().name == std::string("stride"));
        stride = operation.attributes.front().integers;
        CHECK(operation.result.shape() == Shape{2, 5, 2, 2});
      }
      if (seen.back() == "add_scalar") constant = operation.attributes.front().number;
    });
    return sum(relu(conv2d(x, weight, {}, {.stride = {1, 2}, .padding = {0, 1}})) + 0.5);
  };
  const std::vector<std::string> expected{"conv2d", "relu", "add_scalar", "sum"};
  const Variable result = run();
  CHECK(seen == expected);
  CHECK(stride == std::vector<std::int64_t>{1, 2});
  CHECK(constant == 0.5);
  backward(result);  // sweeps are not operations
  CHECK(seen == expected);
  {
    const NoGrad no_grad;
    run();
  }
  CHECK(seen.size() == 8);
  relu(x);  // nobody watches
  CHECK(seen.size() == 8);
}

TEST_CASE("trace: of observers within each other all see", "[autograd]") {
  int outer = 0, inner = 0;
  const OperationObserver one([&](const Operation&) { ++outer; });
  {
    const OperationObserver other([&](const Operation&) { ++inner; });
    relu(Tensor::ones({2}));
  }
  relu(Tensor::ones({2}));
  CHECK(outer == 2);
  CHECK(inner == 1);
}
