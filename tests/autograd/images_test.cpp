#include "autograd/images.h"

#include "autograd/elementwise.h"
#include "autograd/reduce.h"
#include "core/backend.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"

using namespace heft;
using heft::test::check_close;
using heft::test::message_of;
using heft::test::normal;

namespace {

Tensor images(std::int64_t n) { return normal({n, 16, 8, 8}, 1, DType::f32); }
Tensor weights() { return normal({16, 16, 3, 3}, 2, DType::f32); }
bool blocked() {  // whether this build's CPU backend has a layout of its own for this weight
  return conv2d_prepare_weight(weights(), images(2), {.padding = {1, 1}}).is_opaque();
}

}  // namespace

TEST_CASE("A parameter of a convolution is moved to the backend's layout once", "[autograd][conv2d]") {
  Variable weight(weights(), true);
  const auto use = [&](std::int64_t n) { return sum(conv2d(images(n), weight, {}, {.padding = {1, 1}})); };
  backward(use(4));
  CHECK(weight.value().is_opaque() == blocked());
  check_close(weight.value(), weights(), 0);  // the same values
  CHECK(weight.grad().layout() == weight.value().layout());
  const Tensor moved = weight.value();
  for (const std::int64_t n : {1, 7, 32}) backward(use(n));
  CHECK(weight.value().shares_storage(moved));
}

TEST_CASE("Constants, frozen weights and evaluation keep their layout", "[autograd][conv2d]") {
  Variable weight(weights(), true), frozen(weights(), false);
  conv2d(images(2), frozen);
  CHECK_FALSE(frozen.value().is_opaque());
  {
    const NoGrad no_grad;
    conv2d(images(2), weight);
  }
  CHECK_FALSE(weight.value().is_opaque());
}

TEST_CASE("A weight moved after a first backward brings its gradient along", "[autograd][conv2d]") {
  Variable weight(weights(), true);
  backward(sum(weight * 2.0));
  backward(sum(conv2d(images(2), weight)));
  CHECK(weight.grad().layout() == weight.value().layout());
  Variable fresh(weights(), true);
  backward(sum(conv2d(images(2), fresh)));
  check_close(weight.grad(), fresh.grad().contiguous() + 2.0, 1e-4);
}

TEST_CASE("One weight in two convolutions gets both gradients", "[autograd][conv2d]") {
  Variable weight(weights() * 0.1, true), twin(weights() * 0.1, true);
  const auto net = [](const Variable& first, const Variable& second) {
    return sum(tanh(conv2d(relu(conv2d(images(2), first)), second)));
  };
  backward(net(weight, weight));
  backward(net(twin, weight.detach()));
  Variable second(weights() * 0.1, true);
  backward(net(twin.detach(), second));
  check_close(weight.grad(), twin.grad().contiguous() + second.grad().contiguous(), 1e-3);
}

TEST_CASE("A bias alone gets its gradient", "[autograd][conv2d]") {
  Variable bias(Tensor::zeros({16}), true);
  backward(sum(conv2d(images(2), weights(), bias, {.padding = {1, 1}})));
  CHECK(bias.grad().to_vector<float>() == std::vector<float>(16, 2 * 8 * 8));
}

TEST_CASE("Adaptive pooling wants extents that divide", "[autograd][pool]") {
  const Variable x(images(2));
  CHECK(global_avg_pool2d(x).shape() == Shape{2, 16, 1, 1});
  check_close(global_avg_pool2d(x).value(), mean(x.value(), {2, 3}, true), 1e-5);
  CHECK(adaptive_avg_pool2d(x, 4, 2).shape() == Shape{2, 16, 4, 2});
  CHECK(message_of<ShapeError>([&] { adaptive_avg_pool2d(x, 3, 2); }) ==
        "[adaptive_avg_pool2d] expected an output whose extents divide the input's; got 3 x 2 for (2, 16, 8, 8)");
  CHECK_THROWS_AS(adaptive_avg_pool2d(x, 0, 2), ShapeError);
  CHECK_THROWS_AS(global_avg_pool2d(Tensor::ones({2, 3})), ShapeError);
}

TEST_CASE("Pooling keeps where the winners were, not the images", "[autograd][pool][memory]") {
  const int threads = num_threads();
  set_num_threads(2);  // oneDNN's pooling works in memory for each
  Variable x(Tensor::ones({4, 16, 64, 64}), true);
  const std::size_t before = memory_stats().bytes_in_use, image_bytes = 4 * 16 * 64 * 64 * sizeof(float);
  const Variable y = avg_pool2d(x + 1.0, {});
  CHECK(memory_stats().bytes_in_use - before <= image_bytes / 4 + 4096);
  const Variable z = max_pool2d(x + 1.0, {});
  CHECK(memory_stats().bytes_in_use - before <= image_bytes / 4 * 4 + 4096);  // y, z and an index of at most 8 bytes

  // Nor does the way back ask for room for them: beside the graph there are the gradients of x + 1 and of x.
  const std::size_t graph = memory_stats().bytes_in_use;
  for (const Variable& pooled : {y, z}) {
    reset_peak_memory();
    backward(sum(pooled));
    CHECK(memory_stats().peak_bytes_in_use - graph <= image_bytes * 2 + image_bytes / 8);
    x.zero_grad();
  }
  set_num_threads(threads);
}
