// Mixed precision on a GPU: images that convolutions leave are kept in bf16, whatever users see stays f32.
#include "autograd/elementwise.h"
#include "autograd/images.h"
#include "core/backend.h"
#include "core/ops.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "optim/absgd.h"
#include "optim/sgd.h"
#include "tests/catch_compat.h"
#include "tests/core/numbers.h"
#include "tests/cuda/precision.h"
#include "tests/cuda/weighted_step.h"
#include "train/recorded_step.h"

using namespace heft;
using namespace heft::test;

namespace {

Tensor numbers(const Shape& shape, std::uint64_t seed, double scale = 1) {
  return in_bf16(normal(shape, seed, DType::f32) * scale);
}

bool kept_in_bf16(const Variable& x) { return x.value().layout().str() == "channels-last in bf16"; }

struct Layer {
  Shape x, weight;
  Conv2dGeometry geometry;
};

// Of every kind of kernel, and enough blocks for Hopper's.
const Layer layers[] = {{{3, 8, 9, 7}, {16, 8, 3, 3}, {.padding = {1, 1}}},
                        {{2, 16, 32, 32}, {16, 16, 3, 3}, {.padding = {1, 1}}},
                        {{5, 16, 17, 16}, {32, 16, 3, 3}, {.stride = {2, 2}, .padding = {1, 1}}},
                        {{31, 32, 16, 16}, {32, 32, 3, 3}, {.padding = {1, 1}}},
                        {{31, 64, 16, 16}, {64, 64, 3, 3}, {.padding = {1, 1}}},
                        {{50, 128, 8, 8}, {256, 128, 3, 3}, {.padding = {1, 1}}},
                        {{4, 24, 6, 5}, {8, 24, 1, 1}, {}},
                        {{2, 72, 11, 13}, {40, 72, 5, 5}, {.stride = {2, 1}, .padding = {2, 2}}},
                        {{3, 16, 12, 12}, {16, 16, 3, 3}, {.padding = {2, 2}, .dilation = {2, 2}}},
                        {{3, 16, 20, 20}, {24, 16, 4, 4}, {.stride = {4, 4}}},
                        // Few channels, as of images: in TF32, but what they leave is in bf16.
                        {{5, 1, 28, 28}, {8, 1, 3, 3}, {.padding = {1, 1}}},
                        {{3, 3, 13, 17}, {16, 3, 3, 3}, {.padding = {1, 1}}},
                        {{2, 4, 19, 21}, {24, 4, 7, 7}, {.stride = {2, 2}, .padding = {3, 3}}}};

}  // namespace

TEST_CASE("convolutions in mixed precision multiply what bf16 has, and add in f32", "[cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("bf16: " + cuda::why_unavailable());
  const ProductsIn precision(cuda::Precision::bf16);
  for (const Layer& layer : layers) {
    INFO(layer.x.str() << " by " << layer.weight.str());
    const Tensor x = numbers(layer.x, 1), w = numbers(layer.weight, 2, 0.1), b = numbers({layer.weight[0]}, 3);
    const auto run = [&](Device device, std::vector<Tensor>& results) {
      const Variable vx(x.to(device), true), vw(w.to(device), true), vb(b.to(device), true);
      const Variable y = conv2d(vx, vw, vb, layer.geometry);
      if (device.is_cuda()) CHECK(kept_in_bf16(y));
      backward(y, numbers(y.shape(), 4).to(device));
      results = {y.value(), vx.grad(), vw.grad(), vb.grad()};
    };
    std::vector<Tensor> got, want;
    run(Device::cuda(), got), run(Device::cpu(), want);
    CHECK(relative_error(got[0], want[0]) < 3e-3);  // rounded once, as they are written
    CHECK(relative_error(got[1], want[1]) < 3e-3);
    CHECK(relative_error(got[2], want[2]) < 2e-5);  // f32
    CHECK(relative_error(got[3], want[3]) < 2e-5);
  }
}

TEST_CASE("images kept in bf16 pass through everything, and are f32 to whoever looks", "[cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("bf16: " + cuda::why_unavailable());
  const ProductsIn precision(cuda::Precision::bf16);
  const Shape shape{3, 16, 6, 5};
  const Tensor x = numbers(shape, 1), other = numbers(shape, 2);
  const Tensor identity = one_hot(Tensor::arange(16), 16, DType::f32).reshape({16, 16, 1, 1});
  const auto kept = [&](const Tensor& v) {
    const Tensor y = conv2d(Variable(v.to(Device::cuda())), Variable(identity.to(Device::cuda()))).value();
    CHECK(y.layout().str() == "channels-last in bf16");
    return y;
  };
  const Tensor a = kept(x), b = kept(other);
  CHECK(a.dtype() == DType::f32);
  CHECK(a.shape() == shape);
  CHECK(a.to_vector<double>() == x.to_vector<double>());
  CHECK(a.clone().to_vector<double>() == x.to_vector<double>());
  Tensor filled = Tensor::empty_like(a);
  CHECK(filled.fill_(1.5).to_vector<double>() == Tensor::full(shape, 1.5).to_vector<double>());
  CHECK(Tensor::zeros_like(a).to_vector<double>() == Tensor::zeros_like(x).to_vector<double>());
  Tensor target = Tensor::empty_like(a);
  target.copy_(other);
  CHECK(target.to_vector<double>() == other.to_vector<double>());
  CHECK(a.select(1, 3).to_vector<double>() == x.select(1, 3).to_vector<double>());
  CHECK(a.astype(DType::f64).to_vector<double>() == x.to_vector<double>());
  CHECK(sum_squares(a).item<double>() == Approx(sum_squares(x).item<double>()));
  const auto same = [](const Tensor& got, const Tensor& want) { check_close(got.contiguous().to(Device::cpu()), want, 4e-3); };
  same(a + b, x + other);
  same(a * b, x * other);
  // Beside one that has all of its digits nothing is rounded.
  const Tensor fine = normal(shape, 9, DType::f32);
  check_close((a * fine.to(Device::cuda())).contiguous().to(Device::cpu()), x * fine, 1e-6);
  check_close((fine.to(Device::cuda()) + a).contiguous().to(Device::cpu()), x + fine, 1e-6);
  same(unary(a, fn::Exp{}), unary(x, fn::Exp{}));
  same(unary(a, fn::Relu{}), unary(x, fn::Relu{}));
  CHECK((a + b).layout().str() == "channels-last in bf16");
  CHECK(unary(a, fn::Relu{}).layout().str() == "channels-last in bf16");
  // A leaf that is optimised is f32 from then on.
  const Variable leaf(a.clone(), true);
  optim::SGD sgd({leaf}, {.lr = 0.25});
  backward(leaf * 1.0, Tensor::ones(shape, DType::f32, Device::cuda()));
  sgd.step();
  check_close(leaf.value().contiguous().to(Device::cpu()), x - 0.25, 1e-6);
  // Where the precision is another one they are read all the same.
  cuda::set_precision(cuda::Precision::f32);
  const Variable w(numbers({8, 16, 3, 3}, 5));
  const Tensor again = conv2d(Variable(a), Variable(w.value().to(Device::cuda()))).value();
  CHECK(again.layout().str() == "channels-last");
  check_close(again.contiguous().to(Device::cpu()), conv2d(Variable(x), w).value().contiguous(), 1e-4);
}

TEST_CASE("a network trains in mixed precision as it does in f32, recorded or not", "[cuda][real-gpu]") {
  if (!cuda::is_available()) HEFT_SKIP("bf16: " + cuda::why_unavailable());
  const auto train = [](cuda::Precision how, bool recorded) {
    const ProductsIn precision(how);
    manual_seed(3);
    const ModulePtr net = models::cifar_resnet();
    net->to(Device::cuda());
    optim::ABSGD opt(net->parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-4, .lambda = 2});
    train::RecordedStep step(*net, opt, recorded);
    std::vector<double> means;
    for (std::uint64_t i = 0; i < 30; ++i) {
      // Four batches again and again, whose labels can be read off the brightness.
      const Tensor labels = random_uniform({32}, 0, 10, DType::f32, Device::cpu(), {22, i % 4}).astype(DType::i64);
      const Tensor images = random_normal({32, 3, 32, 32}, 0, 1, DType::f32, Device::cpu(), {21, i % 4}) +
                            labels.astype(DType::f32).reshape({32, 1, 1, 1}) * 0.2;
      const auto out = step({images, labels}, [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
        return {weighted_step(*net, opt, in[0], in[1])};
      });
      const std::vector<double> losses = out[0].to_vector<double>();
      double sum = 0;
      for (const double loss : losses) sum += loss;
      means.push_back(sum / 32);
    }
    for (const auto& [name, tensor] : net->state()) {
      INFO(name);
      CHECK(tensor.layout().str() != "channels-last in bf16");
    }
    return means;
  };
  const std::vector<double> f32 = train(cuda::Precision::f32, false), bf16 = train(cuda::Precision::bf16, false);
  CHECK(train(cuda::Precision::bf16, true) == bf16);
  for (std::size_t i = 0; i < 6; ++i) {  // later the two go apart, as two orders of adding do
    INFO("step " << i);
    CHECK(bf16[i] == Approx(f32[i]).epsilon(0.03));
  }
  const auto first = [](const std::vector<double>& means) { return means[0] + means[1] + means[2] + means[3]; };
  const auto last = [](const std::vector<double>& means) { return means[26] + means[27] + means[28] + means[29]; };
  CHECK(last(f32) < 0.8 * first(f32));
  CHECK(last(bf16) < 0.8 * first(f32));
}
