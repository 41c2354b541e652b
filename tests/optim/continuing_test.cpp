// Every reduction over a long run, and over one that is interrupted: what it learns of the losses is all in its state.
#include <functional>
#include <map>
#include <string>

#include "core/memory.h"
#include "core/parallel.h"
#include "optim/absgd.h"
#include "optim/chi_square.h"
#include "optim/cvar.h"
#include "optim/focal_weights.h"
#include "optim/group_dro.h"
#include "optim/sgd.h"
#include "optim/top_k.h"
#include "tests/catch_compat.h"
#include "tests/heap.h"
#include "tests/optim/small_network.h"

using namespace heft;
using namespace heft::optim;
using heft::test::SmallNetwork;

namespace {

using When = AutoLambda::When;

std::map<std::string, std::function<std::shared_ptr<Reduction>()>> reductions() {
  const auto exponential = [](const ExponentialWeightsOptions& options) {
    return [options]() -> std::shared_ptr<Reduction> { return std::make_shared<ExponentialWeights>(options); };
  };
  const auto solving = [&](const AutoLambda& rule) { return exponential({.lambda = 1, .auto_lambda = rule}); };
  return {{"mean", [] { return std::make_shared<Mean>(); }},
          {"lambda 0.5", exponential({.lambda = 0.5})},
          {"lambda -0.3, first batch, alpha, floor",
           exponential({.lambda = -0.3, .gamma = 0.2, .alpha = 0.5, .start = Start::first_batch, .min_share = 0.5})},
          {"official", exponential({.lambda = 0.5, .gamma = 0.1, .start = Start::official})},
          {"lambda for a share", solving({.effective_share = 0.5})},
          {"lambda for a share, by epoch", solving({.effective_share = 0.5, .when = When::on_adapt})},
          {"lambda for a radius, by epoch", solving({.kl = 0.2, .when = When::on_adapt})},
          {"lambda by dual steps", solving({.kl = 0.2, .when = When::dual_step})},
          {"cvar", [] { return std::make_shared<CVaR>(CVaROptions{.alpha = 0.4}); }},
          {"chi-square", [] { return std::make_shared<ChiSquare>(ChiSquareOptions{.radius = 0.3}); }},
          {"top-k", [] { return std::make_shared<TopK>(TopKOptions{.share = 0.5}); }},
          {"focal weights", [] { return std::make_shared<FocalWeights>(FocalWeightsOptions{.gamma = 2}); }},
          {"group DRO", [] {
             return std::make_shared<GroupDRO>(
                 GroupDROOptions{.groups = 3, .eta = 0.1, .absent = GroupDROOptions::Absent::last_seen});
           }}};
}

// Everything a run can meet: epochs of ten steps, at whose ends lambda adapts; in the second epoch a class weight as the
// prior, where the reduction has a place for it, and another lambda, where it has one that is not solved for.
struct Run {
  Run(const std::string& name, const std::shared_ptr<Reduction>& reduction)
      : weighted(name != "top-k"), opt(net.parameters, {.lr = 0.05, .momentum = 0.9}, reduction) {}

  void steps(int from, int to) {
    ExponentialWeights* weights = dynamic_cast<ExponentialWeights*>(&opt.reduction());
    for (int step = from; step < to; ++step) {
      if (weights != nullptr && step % 10 == 0) weights->adapt();
      if (weights != nullptr && step == 15 && !weights->solves_lambda()) weights->set_lambda(weights->lambda() * 2);
      opt.zero_grad();
      const Variable losses = net.losses(step);
      SampleInfo about;
      std::vector<std::int64_t> groups;
      std::vector<double> prior;
      for (std::int64_t i = 0; i < losses.size(0); ++i) {
        groups.push_back((i * i + step) % 3);
        prior.push_back(0.5 + 0.5 * static_cast<double>(groups.back()));
      }
      about.groups = Tensor::from(groups);
      if (weighted && step >= 12) about.prior = Tensor::from(prior);
      backward(opt.reduce(losses, about));
      opt.step();
    }
  }

  SmallNetwork net{DType::f32};
  bool weighted;
  SGD opt;
};

}  // namespace

TEST_CASE("reductions: saved at any step and restored, a run continues bit for bit", "[optim][state]") {
  for (const auto& [name, make] : reductions()) {
    for (const int middle : {1, 9, 10, 12, 13, 16}) {
      INFO(name << ", step " << middle);
      Run straight(name, make()), resumed(name, make());
      straight.steps(0, middle);
      const auto state = straight.opt.state();
      for (std::size_t i = 0; i < resumed.net.parameters.size(); ++i)
        resumed.net.parameters[i].set_value(straight.net.parameters[i].value().clone());
      straight.steps(middle, 25);
      resumed.opt.load_state(state);
      resumed.steps(middle, 25);
      CHECK(straight.net.flat() == resumed.net.flat());
      CHECK(straight.opt.reduction().weights() == resumed.opt.reduction().weights());
      CHECK(straight.opt.reduction().diagnostics() == resumed.opt.reduction().diagnostics());
    }
  }
}

TEST_CASE("reductions: ten thousand steps hold the memory they started with", "[optim][memory][slow]") {
  const int threads = num_threads();
  set_num_threads(1);  // the steps are too small to share
  for (const auto& [name, make] : reductions()) {
    INFO(name);
    Run run(name, make());
    run.steps(0, 60);  // every size of batch has been seen
    reset_peak_memory();
    const MemoryStats before = memory_stats();
    run.steps(60, 120);
    const std::size_t peak = memory_stats().peak_bytes_in_use;
    const std::size_t heap = heft::test::heap_bytes();
    run.steps(120, 10'000);
    CHECK(heft::test::heap_bytes() <= heap + 4096);
    const MemoryStats after = memory_stats();
    CHECK(after.peak_bytes_in_use == peak);
    CHECK(after.bytes_in_use == before.bytes_in_use);
    CHECK(after.system_allocations == before.system_allocations);
  }
  set_num_threads(threads);
}
