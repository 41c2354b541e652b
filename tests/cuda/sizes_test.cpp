// Operations on a GPU take other kernels for long rows than for short ones, for many than for few, for whole groups of channels
// than for odd ones, and have each for every type: shapes beyond those of the op table.
#include "core/ops.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "optim/adam.h"
#include "optim/sgd.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"
#include "tests/cuda/precision.h"

using namespace heft;
using namespace heft::test;

namespace {

Tensor there(const Tensor& x) { return x.to(Device::cuda()); }
Tensor here(const Tensor& x) { return x.contiguous().to(Device::cpu()); }

double tolerance(DType dtype) { return dtype == DType::f32 ? 2e-5 : dtype == DType::f64 ? 1e-12 : 0; }
// Small whole numbers for whole types.
Tensor values(const Shape& shape, DType dtype, std::uint64_t seed = 1) {
  return is_floating(dtype) ? normal(shape, seed, dtype) : (normal(shape, seed) * 100.0).astype(dtype);
}

}  // namespace

TEST_CASE("on a GPU reductions over few and many, long and short rows are the CPU's", "[cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("reductions on a GPU: " + cuda::why_unavailable());
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64})
    for (const Shape& shape :
         {Shape{3, 7, 5}, Shape{2, 3000, 1}, Shape{40, 300, 3}, Shape{1, 100000, 2}, Shape{1, 20, 9000}, Shape{3, 500, 33}}) {
      INFO(name(dtype) << " " << shape.str());
      const Tensor x = values(shape, dtype);
      check_close(here(max(there(x), {1})), max(x, {1}), 0);
      check_close(here(min(there(x), {1})), min(x, {1}), 0);
      check_close(here(argmax(there(x), 1)), argmax(x, 1), 0);
      const double size = is_floating(dtype) ? sum(unary(x, fn::Abs{})).item<double>() / static_cast<double>(x.numel()) : 0;
      const Tensor error = (here(sum(there(x), {1})) - sum(x, {1})).astype(DType::f64);
      CHECK(max(unary(error, fn::Abs{})).item<double>() <= tolerance(dtype) * size * static_cast<double>(shape[1]));
      if (is_floating(dtype))
        CHECK(sum_squares(there(x)).item<double>() == Approx(sum_squares(x).item<double>()).epsilon(1e-6));
    }
}

TEST_CASE("on a GPU the softmax of rows of any length is the CPU's", "[cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("softmax on a GPU: " + cuda::why_unavailable());
  for (const DType dtype : {DType::f32, DType::f64})
    // The last: more long rows than there are blocks at a time.
    for (const Shape& shape : {Shape{5, 3, 1}, Shape{70, 100, 1}, Shape{4, 50, 9}, Shape{3, 2500, 2}, Shape{2500, 2100, 1}}) {
      if (shape.numel() > 1'000'000 && dtype == DType::f64) continue;
      INFO(name(dtype) << " " << shape.str());
      const Tensor x = values(shape, dtype), dy = values(shape, dtype, 2);
      for (const bool log : {false, true}) {
        const Tensor y = log ? log_softmax(x, 1) : softmax(x, 1);
        check_close(here(log ? log_softmax(there(x), 1) : softmax(there(x), 1)), y, tolerance(dtype));
        CHECK(relative_error(softmax_backward(there(y), there(dy), 1, log), softmax_backward(y, dy, 1, log)) <=
              10 * tolerance(dtype));
      }
    }
}

TEST_CASE("on a GPU pooling over windows of any size and number of channels is the CPU's", "[cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("pooling on a GPU: " + cuda::why_unavailable());
  const ExactProducts exact;
  for (const DType dtype : {DType::f32, DType::f64})
    for (const std::int64_t channels : {1, 3, 8})
      // The last: more elements to a window than a byte counts.
      for (const Pool2dGeometry& geometry :
           {Pool2dGeometry{{2, 2}, {2, 2}}, Pool2dGeometry{{3, 3}, {2, 1}, {1, 1}}, Pool2dGeometry{{18, 17}, {3, 4}, {2, 2}}}) {
        INFO(name(dtype) << ", " << channels << " channels, windows of " << geometry.kernel[0]);
        const Tensor x = values({3, channels, 21, 20}, dtype);
        const MaxPoolResult largest = max_pool2d(x, geometry), found = max_pool2d(there(x), geometry);
        check_close(here(found.output), largest.output.contiguous(), 0);
        const Tensor dy = values(largest.output.shape(), dtype, 2);
        check_close(here(max_pool2d_backward(there(dy), found.where, there(x), geometry)),
                    max_pool2d_backward(dy, largest.where, x, geometry).contiguous(), tolerance(dtype));
        check_close(here(avg_pool2d(there(x), geometry)), avg_pool2d(x, geometry).contiguous(), tolerance(dtype));
        check_close(here(avg_pool2d_backward(there(dy), there(x), geometry)), avg_pool2d_backward(dy, x, geometry).contiguous(),
                    tolerance(dtype));
      }
}

TEST_CASE("on a GPU batch norm of any number of channels is the CPU's", "[cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("batch norm on a GPU: " + cuda::why_unavailable());
  const ExactProducts exact;
  for (const DType dtype : {DType::f32, DType::f64})
    for (const Shape& shape : {Shape{4, 1, 5, 7}, Shape{3, 7, 9, 8}, Shape{40, 64, 12, 12}, Shape{70, 130, 1, 1}})
      for (const bool relu : {false, true}) {
        INFO(name(dtype) << " " << shape.str() << (relu ? ", relu" : ""));
        const Tensor x = values(shape, dtype) * 2.0 + 1.0, residual = values(shape, dtype, 2), dy = values(shape, dtype, 3);
        const Tensor gamma = values({shape[1]}, dtype, 4), beta = values({shape[1]}, dtype, 5);
        const auto run = [&](const auto& place) {
          const BatchNormResult forward =
              batch_norm_fused(place(x), place(gamma), place(beta), 1e-5, {.relu = relu, .residual = place(residual)});
          const BatchNormGradients gradients =
              batch_norm_fused_backward(place(dy).clone(), forward, place(x), place(gamma), place(beta), 1e-5, relu, true);
          return std::vector<Tensor>{forward.output,  forward.mean,   forward.variance,  gradients.input,
                                     gradients.gamma, gradients.beta, gradients.residual};
        };
        const auto want = run([](const Tensor&t) { return t; }), got = run(there);
        for (std::size_t k = 0; k < want.size(); ++k) {
          INFO("result " << k);
          CHECK(relative_error(got[k].contiguous(), want[k].contiguous()) <= 5 * tolerance(dtype));
        }
      }
}

TEST_CASE("on a GPU Adam updates parameters of any number, size and type as the CPU does", "[optim][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("Adam on a GPU: " + cuda::why_unavailable());
  const auto trained = [](Device device) {
    std::vector<Variable> parameters;
    for (std::uint64_t i = 0; i < 450; ++i) {  // more than two launches take
      const DType dtype = i % 3 == 0 ? DType::f64 : DType::f32;
      const std::int64_t size = i == 7 ? 5000 : static_cast<std::int64_t>(i % 5);
      parameters.emplace_back(normal({size}, i, dtype).to(device), true);
    }
    optim::AdamW opt(parameters, {.lr = 0.1, .weight_decay = 0.1, .clip_norm = 50});
    for (std::uint64_t step = 0; step < 4; ++step) {
      for (std::uint64_t i = 0; i < parameters.size(); ++i) {
        const Tensor& value = parameters[i].value();
        if (i % 4 != step) parameters[i].set_grad(normal(value.shape(), 1000 * step + i, value.dtype()).to(device));
        else parameters[i].zero_grad();
      }
      opt.step();
    }
    std::vector<Tensor> values;
    for (const Variable& parameter : parameters) values.push_back(here(parameter.value()));
    CHECK(opt.updates()[7] == 3);
    return values;
  };
  const std::vector<Tensor> want = trained(Device::cpu()), got = trained(Device::cuda());
  for (std::size_t i = 0; i < want.size(); ++i) {
    INFO("parameter " << i);
    check_close(got[i], want[i], 1e-5);
  }
}

TEST_CASE("parameters on a CPU and a GPU are updated one by one, as they are on a CPU", "[optim][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("optimizers on a GPU: " + cuda::why_unavailable());
  const auto trained = [](Device device, bool adam, DType dtype) {
    const std::vector<Variable> parameters = {Variable(normal({7, 300}, 1, dtype).to(device), true),
                                              Variable(normal({20}, 2, dtype), true)};
    std::unique_ptr<optim::Optimizer> opt;
    if (adam) opt = std::make_unique<optim::Adam>(parameters, optim::AdamOptions{.lr = 0.1, .weight_decay = 0.1});
    else opt = std::make_unique<optim::SGD>(parameters, optim::SGDOptions{.lr = 0.1, .momentum = 0.9, .nesterov = true});
    for (std::uint64_t step = 0; step < 3; ++step) {
      for (Variable parameter : parameters)
        parameter.set_grad(normal(parameter.shape(), 10 + step, dtype).to(parameter.device()));
      opt->step();
    }
    return std::vector<Tensor>{here(parameters[0].value()), parameters[1].value()};
  };
  for (const bool adam : {false, true})
    for (const DType dtype : {DType::f32, DType::f64}) {
      INFO((adam ? "Adam " : "SGD ") << name(dtype));
      const std::vector<Tensor> want = trained(Device::cpu(), adam, dtype), got = trained(Device::cuda(), adam, dtype);
      for (std::size_t i = 0; i < 2; ++i) check_close(got[i], want[i], 1e-5);
    }
}
