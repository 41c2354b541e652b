// Single operations at the shapes that the networks have them in, and whole steps, on Google Benchmark:
//   build/ci/bench/ops --benchmark_filter='conv2d.*resnet'
//   build/ci/bench/ops --benchmark_filter='_step'
// A row of a table is a benchmark; images and gradients lie in the layout that the operation before would leave them in. Steps
// beside other programs' are heft-bench's.
#include <array>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "heft.h"

namespace {

using namespace heft;

constexpr std::int64_t kBatch = 128;
constexpr double kEps = 1e-5;

struct Conv {
  const char* layer;
  std::int64_t in, out, side, kernel;
  std::int64_t stride = 1, padding = 1;
  bool bias = false;
};
constexpr Conv kConvolutions[] = {
    {.layer = "lenet5.conv1", .in = 1, .out = 6, .side = 28, .kernel = 5, .padding = 2, .bias = true},
    {.layer = "lenet5.conv2", .in = 6, .out = 16, .side = 14, .kernel = 5, .padding = 0, .bias = true},
    {.layer = "resnet20.conv1", .in = 3, .out = 16, .side = 32, .kernel = 3},
    {.layer = "resnet20.layer1", .in = 16, .out = 16, .side = 32, .kernel = 3},
    {.layer = "resnet20.layer2.0", .in = 16, .out = 32, .side = 32, .kernel = 3, .stride = 2},
    {.layer = "resnet20.layer2", .in = 32, .out = 32, .side = 16, .kernel = 3},
    {.layer = "resnet20.layer3.0", .in = 32, .out = 64, .side = 16, .kernel = 3, .stride = 2},
    {.layer = "resnet20.layer3", .in = 64, .out = 64, .side = 8, .kernel = 3},
    {.layer = "vgg_small.conv2", .in = 64, .out = 64, .side = 32, .kernel = 3},
};

// Batch norms and poolings: what a convolution with so many channels has left.
struct Image {
  const char* layer;
  std::int64_t channels, side;
};
constexpr Image kNorms[] = {
    {"resnet20.layer1", 16, 32}, {"resnet20.layer2", 32, 16}, {"resnet20.layer3", 64, 8}, {"vgg_small.bn1", 64, 32}};
constexpr Image kPools[] = {{"lenet5.pool1", 6, 28}, {"lenet5.pool2", 16, 10}, {"vgg_small.pool1", 64, 32}};

struct Product {
  const char* layer;
  std::int64_t in, out;
};
constexpr Product kLinears[] = {
    {"mlp.fc1", 784, 512}, {"mlp.fc2", 512, 512}, {"lenet5.fc1", 400, 120}, {"resnet20.linear", 64, 10}};

constexpr const char* kNetworks[] = {"mlp", "lenet5", "vgg_small", "resnet20", "resnet32"};

template <class Work>
void add(const std::string& name, Work work, double operations = 0) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [work, operations](benchmark::State& state) {
                                 auto run = work();
                                 run();  // primitives are made, weights brought into their layout
                                 for (auto _ : state) run();
                                 if (operations > 0)
                                   state.counters["FLOP/s"] =
                                       benchmark::Counter(operations, benchmark::Counter::kIsIterationInvariantRate);
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

// Images as a convolution leaves them.
Tensor images(std::int64_t channels, std::int64_t side) {
  return conv2d(random_normal({kBatch, channels, side, side}), random_normal({channels, channels, 1, 1}));
}

void add_convolution(const Conv& c) {
  const Conv2dGeometry geometry{.stride = {c.stride, c.stride}, .padding = {c.padding, c.padding}};
  const auto operands = [c, geometry] {
    struct {
      Tensor x, w, bias, y;
    } o;
    o.x = c.in < 4 ? random_normal({kBatch, c.in, c.side, c.side}) : images(c.in, c.side);
    o.w = conv2d_prepare_weight(random_normal({c.out, c.in, c.kernel, c.kernel}), o.x, geometry);
    o.bias = c.bias ? random_normal({c.out}) : Tensor{};
    o.y = conv2d(o.x, o.w, o.bias, geometry);
    return o;
  };
  const std::int64_t side = (c.side + 2 * c.padding - c.kernel) / c.stride + 1;
  const double operations = 2.0 * static_cast<double>(kBatch * c.out * side * side * c.in * c.kernel * c.kernel);
  add(
      fmt::format("conv2d/{}", c.layer),
      [=] { return [o = operands(), geometry] { benchmark::DoNotOptimize(conv2d(o.x, o.w, o.bias, geometry)); }; }, operations);
  if (c.in >= 4)
    add(
        fmt::format("conv2d_backward_input/{}", c.layer),
        [=] {
          return
              [o = operands(), geometry] { benchmark::DoNotOptimize(conv2d_backward_input(o.y, o.w, o.x.shape(), geometry)); };
        },
        operations);
  add(
      fmt::format("conv2d_backward_weight/{}", c.layer),
      [=] {
        return [o = operands(), geometry, c] {
          benchmark::DoNotOptimize(conv2d_backward_weight(o.y, o.x, o.w, c.bias, geometry));
        };
      },
      operations);
}

void add_norm(const Image& i, bool residual) {
  const auto operands = [i, residual] {
    struct {
      Tensor x, gamma, beta, residual;
      BatchNormResult forward;
    } o;
    o.x = images(i.channels, i.side);
    o.gamma = Tensor::ones({i.channels});
    o.beta = Tensor::zeros({i.channels});
    o.residual = residual ? images(i.channels, i.side) : Tensor{};
    o.forward = batch_norm_fused(o.x, o.gamma, o.beta, kEps, {.relu = true, .residual = o.residual});
    return o;
  };
  const char* what = residual ? "sum_relu" : "relu";
  add(fmt::format("batch_norm_fused/{}/{}", what, i.layer), [=] {
    return [o = operands()] {
      benchmark::DoNotOptimize(batch_norm_fused(o.x, o.gamma, o.beta, kEps, {.relu = true, .residual = o.residual}));
    };
  });
  add(fmt::format("batch_norm_fused_backward/{}/{}", what, i.layer), [=] {
    return [o = operands(), residual] {
      const BatchNormResult& f = o.forward;
      benchmark::DoNotOptimize(batch_norm_fused_backward(o.x, f, o.x, o.gamma, o.beta, kEps, true, residual));
    };
  });
}

void add_pool(const Image& i) {
  add(fmt::format("max_pool2d/{}", i.layer),
      [i] { return [x = images(i.channels, i.side)] { benchmark::DoNotOptimize(max_pool2d(x, {})); }; });
  add(fmt::format("max_pool2d_backward/{}", i.layer), [i] {
    const Tensor x = images(i.channels, i.side);
    return [x, y = max_pool2d(x, {})] { benchmark::DoNotOptimize(max_pool2d_backward(y.output, y.where, x, {})); };
  });
}

void add_linear(const Product& p) {
  const double operations = 2.0 * static_cast<double>(kBatch * p.in * p.out);
  const auto operands = [p] {
    return std::array{random_normal({kBatch, p.in}), random_normal({p.out, p.in}), random_normal({p.out}),
                      random_normal({kBatch, p.out})};
  };
  add(
      fmt::format("linear/{}", p.layer),
      [=] { return [o = operands()] { benchmark::DoNotOptimize(linear(o[0], o[1], o[2])); }; }, operations);
  add(
      fmt::format("linear_backward_input/{}", p.layer),
      [=] { return [o = operands()] { benchmark::DoNotOptimize(matmul(o[3], o[1])); }; }, operations);
  add(
      fmt::format("linear_backward_weight/{}", p.layer),
      [=] { return [o = operands()] { benchmark::DoNotOptimize(linear_backward_weight(o[3], o[0], true)); }; }, operations);
}

void add_losses() {
  const auto logits = [] { return Variable(random_normal({kBatch, 10}), true); };
  const auto labels = [] { return random_uniform({kBatch}, 0, 10).astype(DType::i64); };
  add("cross_entropy", [=] { return [x = logits(), t = labels()] { benchmark::DoNotOptimize(cross_entropy(x, t)); }; });
  add("cross_entropy_and_backward",
      [=] { return [x = logits(), t = labels(), ones = Tensor::ones({kBatch})] { backward(cross_entropy(x, t), ones); }; });
  add("absgd_reduce", [] {
    auto weights = std::make_shared<optim::ExponentialWeights>(optim::ExponentialWeightsOptions{.lambda = 5, .gamma = 0.9});
    return [weights, losses = Variable(random_uniform({kBatch}, 0, 5), true)] {
      benchmark::DoNotOptimize(weights->reduce(losses));
    };
  });
}

struct Network {
  ModulePtr net;
  Tensor images;
};
Network make_network(const std::string& name, std::int64_t batch) {
  const bool grey = name == "mlp" || name == "lenet5";
  const std::int64_t channels = grey ? 1 : 3, side = grey ? 28 : 32;
  return {models::make(name, {.classes = 10, .channels = channels, .image_size = side}),
          random_normal({batch, channels, side, side})};
}

// Forward, losses, backward, update.
void add_training(const std::string& network) {
  add(fmt::format("training_step/{}", network), [network] {
    const auto [net, images] = make_network(network, kBatch);
    auto absgd = std::make_shared<optim::ABSGD>(net->parameters(),
                                                optim::ABSGDOptions{.lr = 1e-3, .momentum = 0.9, .lambda = 5, .gamma = 0.9});
    return [net = net, images = images, absgd, labels = random_uniform({kBatch}, 0, 10).astype(DType::i64)] {
      const Variable losses = cross_entropy((*net)(images), labels);
      absgd->zero_grad();
      backward(absgd->reduce(losses));
      absgd->step();
    };
  });
}

void add_inference(const std::string& network, std::int64_t batch) {
  add(fmt::format("inference_step/{}/{}", network, batch), [network, batch] {
    const auto [net, images] = make_network(network, batch);
    net->eval();
    return [net = net, images = images] {
      const NoGrad none;
      benchmark::DoNotOptimize((*net)(images));
    };
  });
}

// The update of every parameter at once, which ends in Backend::sgd_steps.
void add_update(const std::string& network) {
  add(fmt::format("sgd_update/{}", network), [network] {
    const ModulePtr net = make_network(network, 1).net;
    for (Variable& parameter : net->parameters()) parameter.set_grad(random_normal(parameter.shape()));
    auto sgd =
        std::make_shared<optim::SGD>(net->parameters(), optim::SGDOptions{.lr = 1e-6, .momentum = 0.9, .weight_decay = 5e-4});
    return [net, sgd] { sgd->step(); };
  });
}

}  // namespace

int main(int argc, char** argv) {
  manual_seed(1);
  for (const Conv& c : kConvolutions) add_convolution(c);
  for (const Image& i : kNorms)
    for (const bool residual : {false, true}) add_norm(i, residual);
  for (const Image& i : kPools) add_pool(i);
  for (const Product& p : kLinears) add_linear(p);
  add_losses();
  for (const char* network : kNetworks) {
    add_update(network);
    add_training(network);
    for (const std::int64_t batch : {std::int64_t{1}, kBatch}) add_inference(network, batch);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
