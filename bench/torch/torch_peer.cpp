// The steps of heft-bench on PyTorch's C++ front end, on a CPU, on the same requests: bench/torch_peer.py without Python's
// share.
//   torch-peer serve MODEL train|infer BATCH [--layout nchw|channels_last] [--warmup N]
// Exit codes: 0 success, 1 the step failed, 2 wrong argument or request.
#include <sys/resource.h>
#include <torch/torch.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using torch::Tensor;
namespace nn = torch::nn;
namespace F = torch::nn::functional;

struct Options {
  std::string model, kind, layout = "nchw";
  std::int64_t batch = 0, warmup = 20;
};

struct Network : nn::Module {
  virtual Tensor forward(Tensor x) = 0;
};

nn::Conv2d conv3x3(std::int64_t channels, std::int64_t out, std::int64_t stride = 1) {
  return nn::Conv2d(nn::Conv2dOptions(channels, out, 3).stride(stride).padding(1).bias(false));
}

struct Mlp : Network {
  nn::Linear fc1 = register_module("fc1", nn::Linear(784, 512)), fc2 = register_module("fc2", nn::Linear(512, 512)),
             fc3 = register_module("fc3", nn::Linear(512, 10));

  Tensor forward(Tensor x) override { return fc3(torch::relu(fc2(torch::relu(fc1(x.flatten(1)))))); }
};

struct LeNet5 : Network {
  nn::Conv2d conv1 = register_module("conv1", nn::Conv2d(nn::Conv2dOptions(1, 6, 5).padding(2))),
             conv2 = register_module("conv2", nn::Conv2d(nn::Conv2dOptions(6, 16, 5)));
  nn::Linear fc1 = register_module("fc1", nn::Linear(16 * 5 * 5, 120)), fc2 = register_module("fc2", nn::Linear(120, 84)),
             fc3 = register_module("fc3", nn::Linear(84, 10));

  Tensor forward(Tensor x) override {
    x = torch::max_pool2d(torch::relu(conv1(x)), 2);
    x = torch::max_pool2d(torch::relu(conv2(x)), 2);
    return fc3(torch::relu(fc2(torch::relu(fc1(x.flatten(1))))));
  }
};

struct VggSmall : Network {
  nn::Sequential features = register_module("features", nn::Sequential());
  nn::Linear classifier = register_module("classifier", nn::Linear(256 * 4 * 4, 10));

  VggSmall() {
    std::int64_t channels = 3;
    for (const std::int64_t out : {64, 64, 0, 128, 128, 0, 256, 256, 0}) {
      if (out == 0) {
        features->push_back(nn::MaxPool2d(2));
        continue;
      }
      features->push_back(conv3x3(channels, out));
      features->push_back(nn::BatchNorm2d(out));
      features->push_back(nn::ReLU(nn::ReLUOptions(true)));
      channels = out;
    }
  }

  Tensor forward(Tensor x) override { return classifier(features->forward(x).flatten(1)); }
};

// The shortcut has no parameters: every second row and column, zeros for a quarter of the new channels on each side.
struct Block : nn::Module {
  Block(std::int64_t channels, std::int64_t out, std::int64_t stride)
      : conv1(register_module("conv1", conv3x3(channels, out, stride))),
        conv2(register_module("conv2", conv3x3(out, out))),
        bn1(register_module("bn1", nn::BatchNorm2d(out))),
        bn2(register_module("bn2", nn::BatchNorm2d(out))),
        new_channels(out - channels) {}

  Tensor forward(Tensor x) {
    const Tensor y = bn2(conv2(bn1(conv1(x)).relu_()));
    if (new_channels > 0) {
      using torch::indexing::None;
      using torch::indexing::Slice;
      x = x.index({Slice(), Slice(), Slice(None, None, 2), Slice(None, None, 2)});
      x = F::pad(x, F::PadFuncOptions({0, 0, 0, 0, new_channels / 2, new_channels - new_channels / 2}));
    }
    return (y + x).relu_();
  }

  nn::Conv2d conv1, conv2;
  nn::BatchNorm2d bn1, bn2;
  std::int64_t new_channels;
};

struct CifarResNet : Network {
  explicit CifarResNet(int blocks) {
    std::int64_t channels = 16;
    for (const std::int64_t out : {16, 32, 64})
      for (int i = 0; i < blocks; ++i) {
        stages->push_back(Block(channels, out, out != 16 && i == 0 ? 2 : 1));
        channels = out;
      }
  }

  nn::Conv2d conv1 = register_module("conv1", conv3x3(3, 16));
  nn::BatchNorm2d bn1 = register_module("bn1", nn::BatchNorm2d(16));
  nn::Sequential stages = register_module("stages", nn::Sequential());
  nn::Linear linear = register_module("linear", nn::Linear(64, 10));

  Tensor forward(Tensor x) override {
    x = stages->forward(bn1(conv1(x)).relu_());
    return linear(torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }
};

// With as many parameters as heft's.
std::shared_ptr<Network> make_network(const std::string& model) {
  std::shared_ptr<Network> net;
  std::int64_t expected = 0, count = 0;
  if (model == "mlp") net = std::make_shared<Mlp>(), expected = 669706;
  else if (model == "lenet5") net = std::make_shared<LeNet5>(), expected = 61706;
  else if (model == "vgg_small") net = std::make_shared<VggSmall>(), expected = 1187274;
  else if (model == "resnet20") net = std::make_shared<CifarResNet>(3), expected = 269722;
  else if (model == "resnet32") net = std::make_shared<CifarResNet>(5), expected = 464154;
  else throw std::invalid_argument("expected MODEL mlp, lenet5, vgg_small, resnet20 or resnet32; got " + model);
  for (const Tensor& p : net->parameters()) count += p.numel();
  if (count != expected)
    throw std::logic_error(model + " has " + std::to_string(count) + " parameters; heft's has " + std::to_string(expected));
  return net;
}

class Job {
 public:
  explicit Job(const Options& options) : net_(make_network(options.model)), trains_(options.kind == "train") {
    const bool grey = options.model == "mlp" || options.model == "lenet5";
    images_ = grey ? torch::randn({options.batch, 1, 28, 28}) : torch::randn({options.batch, 3, 32, 32});
    labels_ = torch::randint(0, 10, {options.batch}, torch::kLong);
    if (options.layout == "channels_last") {
      images_ = images_.contiguous(torch::MemoryFormat::ChannelsLast);
      torch::NoGradGuard no_grad;
      for (Tensor& p : net_->parameters())
        if (p.dim() == 4) p.set_data(p.contiguous(torch::MemoryFormat::ChannelsLast));
    }
    if (trains_)
      optimizer_ = std::make_unique<torch::optim::SGD>(net_->parameters(), torch::optim::SGDOptions(1e-3).momentum(0.9));
    else net_->eval();
    run(options.warmup);
  }

  double timed(std::int64_t steps) {
    const auto start = std::chrono::steady_clock::now();
    run(steps);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() /
           static_cast<double>(steps);
  }

 private:
  void run(std::int64_t steps) {
    for (std::int64_t i = 0; i < steps; ++i) trains_ ? train() : infer();
  }

  void train() {
    optimizer_->zero_grad();
    F::cross_entropy(net_->forward(images_), labels_).backward();
    optimizer_->step();
  }

  void infer() {
    const c10::InferenceMode mode;
    net_->forward(images_);
  }

  std::shared_ptr<Network> net_;
  bool trains_;
  Tensor images_, labels_;
  std::unique_ptr<torch::optim::SGD> optimizer_;
};

Options parse(const std::vector<std::string>& words) {
  if (words.size() < 4 || words[0] != "serve" || (words[2] != "train" && words[2] != "infer") || words.size() % 2 != 0)
    throw std::invalid_argument(
        "expected: torch-peer serve MODEL train|infer BATCH [--layout nchw|channels_last] [--warmup N]");
  Options options;
  options.model = words[1], options.kind = words[2], options.batch = std::stoll(words[3]);
  for (std::size_t i = 4; i < words.size(); i += 2) {
    if (words[i] == "--layout" && (words[i + 1] == "nchw" || words[i + 1] == "channels_last")) options.layout = words[i + 1];
    else if (words[i] == "--warmup") options.warmup = std::stoll(words[i + 1]);
    else throw std::invalid_argument("unknown: " + words[i] + ' ' + words[i + 1]);
  }
  if (options.batch < 1) throw std::invalid_argument("expected BATCH of at least 1");
  return options;
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    torch::manual_seed(1);
    Job job(parse({argv + 1, argv + argc}));
    std::cout << "ready" << std::endl;
    for (std::int64_t steps = 0; std::cin >> steps;) {
      if (steps < 1) throw std::invalid_argument("expected a number of steps, at least 1");
      const double milliseconds = job.timed(steps);
      std::printf("%.6f %.1f\n", milliseconds, peak_mib());
      std::fflush(stdout);
    }
    if (!std::cin.eof()) throw std::invalid_argument("expected a number of steps");
    return 0;
  } catch (const std::invalid_argument& error) {
    std::cerr << "torch-peer: " << error.what() << '\n';
    return 2;
  } catch (const c10::Error& error) {
    std::cerr << "torch-peer: " << error.what_without_backtrace() << '\n';
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "torch-peer: " << error.what() << '\n';
    return 1;
  }
}
