// 20 steps of every optimizer against tests/golden/trajectories.json, which make_trajectories.py beside it computed with
// NumPy in double. The network and its batches are the script's.
#include <cmath>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "cuda/cuda.h"
#include "optim/absgd.h"
#include "tests/catch_compat.h"
#include "tests/cuda/precision.h"
#include "tests/optim/small_network.h"

using namespace heft;
using namespace heft::optim;
using heft::test::SmallNetwork;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i])));
  return largest;
}

using Make = std::function<std::unique_ptr<Optimizer>(const std::vector<Variable>&)>;

Make absgd(double lambda, double gamma = 0.9, double alpha = 1, Start start = Start::bias_corrected, double lr = 0.05,
           std::optional<double> clip = {}) {
  return [=](const std::vector<Variable>& p) {
    return std::make_unique<ABSGD>(
        p, ABSGDOptions{.lr = lr, .lambda = lambda, .gamma = gamma, .alpha = alpha, .start = start, .clip = clip});
  };
}
Make sgd(const SGDOptions& options) {
  return [=](const std::vector<Variable>& p) { return std::make_unique<SGD>(p, options); };
}

const std::vector<std::pair<std::string, Make>>& runs() {
  static const std::vector<std::pair<std::string, Make>> all{
      {"sgd", sgd({.lr = 0.1})},
      {"sgd_momentum", sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01})},
      {"sgd_dampening", sgd({.lr = 0.1, .momentum = 0.5, .dampening = 0.25})},
      {"sgd_nesterov", sgd({.lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01})},
      {"adam", [](const auto& p) { return std::make_unique<Adam>(p, AdamOptions{.lr = 0.01, .weight_decay = 0.01}); }},
      {"adamw", [](const auto& p) { return std::make_unique<AdamW>(p, AdamWOptions{.lr = 0.01, .weight_decay = 0.1}); }},
      {"absgd_5", absgd(5)},
      {"absgd_-2", absgd(-2)},
      {"absgd_0.5", absgd(0.5, 0.4, 0.8)},
      {"absgd_0.05_clipped", absgd(0.05, 0.5, 1, Start::bias_corrected, 0.005, 1.0)},
      {"absgd_5_official", absgd(5, 0.9, 1, Start::official)},
      {"absgd_-2_official", absgd(-2, 0.5, 0.5, Start::official)},
      {"absgd_0.5_official", absgd(0.5, 0.7, 0.5, Start::official)},
      {"abadam_0.5", [](const auto& p) { return std::make_unique<ABAdam>(p, ABAdamOptions{.lr = 0.01, .lambda = 0.5}); }}};
  return all;
}

const nlohmann::json& golden() {
  static const nlohmann::json all = nlohmann::json::parse(std::ifstream("tests/golden/trajectories.json"));
  return all;
}

// Returns how many samples the clip bounded.
std::int64_t check_trajectories(DType dtype, Device device) {
  std::int64_t clipped = 0;
  const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-12;
  for (const auto& [name, make] : runs()) {
    const SmallNetwork net(dtype, device);
    const std::unique_ptr<Optimizer> opt = make(net.parameters);
    const auto* tilt = dynamic_cast<const ExponentialWeights*>(&opt->reduction());
    const nlohmann::json& expected = golden().at(name);
    for (int step = 0; step < static_cast<int>(expected.size()); ++step) {
      INFO(name << " in " << heft::name(dtype) << " on " << device.str() << ", step " << step);
      opt->minimize(net.losses(step));
      const nlohmann::json& one = expected[static_cast<std::size_t>(step)];
      CHECK(largest_difference(net.flat(), one.at("parameters")) < tolerance);
      REQUIRE((tilt != nullptr) == one.contains("u"));
      if (!tilt) continue;
      // An error in a loss is |1 / lambda| times as large in z = log w.
      const double factor = std::max(1.0, 1 / std::abs(tilt->lambda()));
      CHECK(std::exp(tilt->log_u()) == Approx(one.at("u").get<double>()).epsilon(tolerance * factor));
      CHECK(largest_difference(tilt->weights(), one.at("w")) < tolerance * factor);
      CHECK(tilt->clipped() == one.at("clipped").get<std::int64_t>());
      clipped += tilt->clipped();
    }
  }
  return clipped;
}

}  // namespace

TEST_CASE("20 steps of every optimizer agree with the golden trajectories", "[optim]") {
  CHECK(golden().size() == runs().size());
  // The clip was met, in the first batch and later.
  CHECK(check_trajectories(DType::f32, Device::cpu()) + check_trajectories(DType::f64, Device::cpu()) > 4);
}

TEST_CASE("20 steps of every optimizer on a GPU agree with the golden trajectories", "[optim][cuda]") {
  if (!cuda::is_available()) HEFT_SKIP("trajectories on a GPU: " + cuda::why_unavailable());
  const test::ExactProducts exact;
  CHECK(check_trajectories(DType::f32, Device::cuda()) + check_trajectories(DType::f64, Device::cuda()) > 4);
}

TEST_CASE("a step makes one backward sweep, whatever the reduction", "[optim]") {
  for (const auto& [name, make] : runs()) {
    const SmallNetwork net(DType::f32);
    const std::unique_ptr<Optimizer> opt = make(net.parameters);
    const std::uint64_t before = backward_count();
    for (int step = 0; step < 3; ++step) {
      const Variable losses = net.losses(step);
      opt->zero_grad();
      backward(opt->reduce(losses));
      opt->step();
    }
    INFO(name);
    CHECK(backward_count() - before == 3);
  }
}

TEST_CASE("with lambda = infinity ABSGD is SGD and ABAdam is Adam, bit for bit", "[optim]") {
  const SmallNetwork a(DType::f32), b(DType::f32), c(DType::f32), d(DType::f32);
  SGD sgd(a.parameters, {.lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4});
  ABSGD absgd(b.parameters, {.lambda = kInfinity});
  Adam adam(c.parameters);
  ABAdam abadam(d.parameters, {.lambda = kInfinity});
  for (int step = 0; step < 50; ++step) {
    sgd.minimize(a.losses(step));
    absgd.minimize(b.losses(step));
    adam.minimize(c.losses(step));
    abadam.minimize(d.losses(step));
    REQUIRE(a.flat() == b.flat());
    REQUIRE(c.flat() == d.flat());
  }
  CHECK(absgd.reduction().log_u() == 0.0);
  CHECK(absgd.reduction().objective() == absgd.reduction().moving_mean_loss());
}

TEST_CASE("all state saved in the middle and restored continues bit for bit", "[optim]") {
  for (const auto& [name, make] : runs()) {
    const SmallNetwork straight(DType::f32), resumed(DType::f32);
    const std::unique_ptr<Optimizer> one = make(straight.parameters);
    for (int step = 0; step < 9; ++step) one->minimize(straight.losses(step));
    one->set_lr_factor(0.5);
    const auto state = one->state();
    for (std::size_t i = 0; i < resumed.parameters.size(); ++i)
      Variable(resumed.parameters[i]).set_value(straight.parameters[i].value().clone());
    for (int step = 9; step < 20; ++step) one->minimize(straight.losses(step));

    const std::unique_ptr<Optimizer> two = make(resumed.parameters);
    two->load_state(state);
    for (int step = 9; step < 20; ++step) two->minimize(resumed.losses(step));
    INFO(name);
    CHECK(straight.flat() == resumed.flat());
    CHECK(one->reduction().weights() == two->reduction().weights());
  }
}
