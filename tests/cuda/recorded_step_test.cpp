#include "train/recorded_step.h"

#include <map>
#include <vector>

#include "core/ops.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "layers/activation.h"
#include "layers/conv.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/losses.h"
#include "layers/norm.h"
#include "layers/pool.h"
#include "layers/sequential.h"
#include "optim/absgd.h"
#include "optim/adam.h"
#include "optim/cvar.h"
#include "tests/catch_compat.h"
#include "tests/cuda/weighted_step.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

namespace {

// With everything that a step may keep on the host: batches counted by a norm, random numbers of dropout.
ModulePtr network(Device device) {
  manual_seed(5);
  auto net = sequential({layer<Conv2d>({.in_channels = 3, .out_channels = 8, .kernel = 3, .padding = 1}),
                         layer<BatchNorm2d>({.channels = 8}), layer<ReLU>(), layer<MaxPool2d>(), layer<Flatten>(),
                         layer<Dropout>({.p = 0.3}), layer<Linear>({.in_features = 8 * 4 * 4, .out_features = 5})});
  net->to(device);
  return net;
}

struct Run {
  std::map<std::string, Tensor> parameters, optimizer;
  std::vector<std::vector<double>> losses;
  std::int64_t replays = 0;
  RandomState random;
};

using MakeOptimizer = std::unique_ptr<optim::Optimizer> (*)(const std::vector<Variable>&);

std::unique_ptr<optim::Optimizer> absgd(const std::vector<Variable>& parameters) {
  return std::make_unique<optim::ABSGD>(
      parameters, optim::ABSGDOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-3, .clip_norm = 0.5, .lambda = 2});
}
std::unique_ptr<optim::Optimizer> abadam(const std::vector<Variable>& parameters) {
  return std::make_unique<optim::ABAdam>(
      parameters, optim::ABAdamOptions{.lr = 0.01, .weight_decay = 1e-2, .decoupled = true, .clip_norm = 0.5, .lambda = 2});
}
std::unique_ptr<optim::Optimizer> sgd(const std::vector<Variable>& parameters) {
  return std::make_unique<optim::SGD>(parameters, optim::SGDOptions{.lr = 0.1, .momentum = 0.9});
}
std::unique_ptr<optim::Optimizer> adam(const std::vector<Variable>& parameters) {
  return std::make_unique<optim::Adam>(parameters, optim::AdamOptions{.lr = 0.01, .weight_decay = 1e-2});
}

// 14 steps of 16 images, and now and then 5; the learning rate and lambda change on the way.
Run run_steps(Device device, bool recorded, MakeOptimizer make) {
  const ModulePtr net = network(device);
  const auto made = make(net->parameters());
  optim::Optimizer& opt = *made;
  train::RecordedStep step(*net, opt, recorded);
  manual_seed(9);
  Run run;
  for (std::uint64_t i = 0; i < 14; ++i) {
    const std::int64_t n = i % 6 == 5 ? 5 : 16;
    const Tensor images = random_normal({n, 3, 8, 8}, 0, 1, DType::f32, Device::cpu(), {21, i});
    const Tensor labels = random_uniform({n}, 0, 5, DType::f32, Device::cpu(), {22, i}).astype(DType::i64);
    if (i == 7) opt.set_lr_factor(0.5);
    if (i == 10) dynamic_cast<optim::ExponentialWeights&>(opt.reduction()).set_lambda(1);
    const auto out = step({images, labels}, [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
      return {test::weighted_step(*net, opt, in[0], in[1])};
    });
    run.losses.push_back(out[0].to_vector<double>());
  }
  opt.verify();
  run.parameters = net->state();
  run.optimizer = opt.state();
  run.replays = step.replays();
  run.random = random_state();
  return run;
}

void check_bits(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) {
    INFO(name);
    CHECK(tensor.to_vector<double>() == b.at(name).to_vector<double>());
  }
}

}  // namespace

TEST_CASE("a recorded step has the bits of one that is not", "[train][cuda]") {
  std::vector<Device> devices{Device::cpu()};
  if (cuda::is_available()) devices.push_back(Device::cuda());
  for (const Device device : devices)
    for (const MakeOptimizer make : {absgd, abadam}) {
      INFO(device.str());
      const Run plain = run_steps(device, false, make), recorded = run_steps(device, true, make);
      CHECK(plain.replays == 0);
      CHECK(recorded.replays == (device.is_cuda() ? 9 : 0));
      CHECK(plain.losses == recorded.losses);
      check_bits(plain.parameters, recorded.parameters);
      check_bits(plain.optimizer, recorded.optimizer);
      CHECK(plain.random.next == recorded.random.next);
    }
}

TEST_CASE("a state that is loaded is what the next steps go on from, recorded or not", "[train][cuda]") {
  std::vector<Device> devices{Device::cpu()};
  if (cuda::is_available()) devices.push_back(Device::cuda());
  for (const Device device : devices)
    for (const MakeOptimizer make : {sgd, adam}) {
      INFO(device.str());
      const auto losses_of = [&](bool recorded) {
        const ModulePtr net = network(device);
        const auto made = make(net->parameters());
        optim::Optimizer& opt = *made;
        train::RecordedStep step(*net, opt, recorded);
        manual_seed(4);
        std::vector<std::vector<double>> losses;
        std::map<std::string, Tensor> first, first_optimizer, saved, saved_optimizer;
        for (std::uint64_t i = 0; i < 12; ++i) {
          if (i == 0) first = net->state(), first_optimizer = opt.state();
          if (i == 2) net->load_state(first), opt.load_state(first_optimizer);  // where a step is about to be recorded
          if (i == 6) saved = net->state(), saved_optimizer = opt.state();
          if (i == 9) net->load_state(saved), opt.load_state(saved_optimizer);
          const Tensor images = random_normal({5, 3, 8, 8}, 0, 1, DType::f32, Device::cpu(), {31, i});
          const auto out = step({images, Tensor::arange(5)}, [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
            return {test::weighted_step(*net, opt, in[0], in[1])};
          });
          losses.push_back(out[0].to_vector<double>());
          opt.zero_grad();  // a replay updates what was recorded, whoever has done away with the gradients
        }
        CHECK(opt.updates().front() == 12 - 2 - 3);  // less those that were taken back
        CHECK(step.replays() == (recorded && device.is_cuda() ? 4 : 0));
        return losses;
      };
      CHECK(losses_of(true) == losses_of(false));
    }
}

TEST_CASE("work that needs the CPU runs as it is, and says why", "[train][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("recording: " + cuda::why_unavailable());
  const ModulePtr net = network(Device::cuda());
  optim::SGD opt(net->parameters(), {.lr = 0.1});
  train::RecordedStep step(*net, opt);
  const auto work = [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const Variable losses = cross_entropy((*net)(in[0]), in[1]);
    opt.zero_grad();
    backward(opt.reduce(losses));
    opt.step();
    losses.value().to_vector<double>();
    return {losses.value()};
  };
  const Tensor images = random_normal({4, 3, 8, 8}), labels = Tensor::arange(4);
  for (int i = 0; i < 6; ++i) step({images, labels}, work);
  CHECK(step.replays() == 0);
  CHECK(contains(step.why_not(), "copy from or to the CPU"));
  for (const auto& [name, tensor] : net->state())
    if (contains(name, "num_batches_tracked")) CHECK(tensor.item<double>() == 6);
  optim::SGD by_rank(net->parameters(), {.lr = 0.1}, std::make_shared<optim::CVaR>(optim::CVaROptions{}));
  CHECK_FALSE(by_rank.replayable());
}

TEST_CASE("a loss on a GPU that is not finite moves nothing and is named", "[train][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("losses on a GPU: " + cuda::why_unavailable());
  const ModulePtr net = network(Device::cuda());
  net->eval();
  optim::ABSGD opt(net->parameters(), {.lr = 0.1, .momentum = 0.9, .lambda = 2});
  const Tensor labels = Tensor::arange(4).to(Device::cuda());
  const auto step = [&](const Tensor& images) {
    const Variable losses = cross_entropy((*net)(images.to(Device::cuda())), labels);
    opt.zero_grad();
    backward(opt.reduce(losses));
    opt.step();
  };
  Tensor images = random_normal({4, 3, 8, 8});
  step(images);
  opt.verify();
  const auto before = net->state();
  images.slice(0, 2, 3).fill_(NAN);
  step(images);
  check_bits(net->state(), before);
  const std::string message = message_of<NumericError>([&] { opt.verify(); });
  CHECK(contains(message, "[absgd] expected finite losses"));
  CHECK(contains(message, "sample 2 of 4"));
}
