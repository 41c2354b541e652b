// What a training step costs: SGD, ABSGD, and the meta-learning reweighters L2RW and Meta-Weight-Net (train/meta.h), each a
// whole step from images to updated parameters. One step of each in turn, in an order that rotates, on the same machine in the
// same minute; synthetic images in memory, a meta batch as large as the batch. Prints the median step, the ratio to SGD's step
// of the same round (median and quartiles), the passes of one step, and its peak of tensor memory above what lives between
// steps.
//   bench/meta_cost [ROUNDS [MODEL ...]]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "heft.h"

namespace {

using namespace heft;
using Clock = std::chrono::steady_clock;

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

struct Case {
  std::string model;
  Shape image;
  std::int64_t batch;
};

data::Batch synthetic(const Case& c, std::uint64_t seed) {
  const Tensor images =
      random_normal({c.batch, c.image[0], c.image[1], c.image[2]}, 0, 1, DType::f32, Device::cpu(), RandomKey{seed});
  const Tensor labels = random_uniform({c.batch}, 0, 10, DType::f32, Device::cpu(), {seed, 1}).astype(DType::i64);
  return {.images = images, .labels = labels, .indices = Tensor::arange(c.batch), .groups = {}, .clean_labels = {}};
}

struct Method {
  std::string name;
  ModulePtr net;
  std::shared_ptr<train::MetaReweighter> meta = nullptr;  // null: an ordinary step
  std::unique_ptr<optim::Optimizer> optimizer = nullptr;
  std::vector<double> milliseconds = {}, ratios = {};
  std::uint64_t sweeps = 0, products = 0, forwards = 0;
  double peak_mib = 0;

  void step(const data::Batch& batch, const data::Batch& clean) {
    if (meta) meta->step(*net, *optimizer, batch, clean);
    else optimizer->minimize(cross_entropy((*net)(batch.images), batch.labels));
  }
  void timed_step(const data::Batch& batch, const data::Batch& clean) {
    const auto start = Clock::now();
    step(batch, clean);
    milliseconds.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  void counted_step(const data::Batch& batch, const data::Batch& clean) {
    const ForwardObserver observer([this](const Module& module, const Variable&) { forwards += &module == net.get(); });
    const std::uint64_t sweeps_before = backward_count(), products_before = jvp_count();
    const std::size_t bytes = memory_stats().bytes_in_use;
    reset_peak_memory();
    step(batch, clean);
    peak_mib = static_cast<double>(memory_stats().peak_bytes_in_use - bytes) / (1 << 20);
    sweeps = backward_count() - sweeps_before;
    products = jvp_count() - products_before;
  }
};

std::vector<Method> methods(const Case& c) {
  const auto network = [&c] {
    manual_seed(1);
    return models::make(c.model, {.classes = 10, .channels = c.image[0], .image_size = c.image[1]});
  };
  const optim::SGDOptions sgd{.lr = 1e-3, .momentum = 0.9};
  std::vector<Method> all;
  all.push_back({.name = "SGD", .net = network()});
  all.back().optimizer = std::make_unique<optim::SGD>(all.back().net->parameters(), sgd);
  all.push_back({.name = "ABSGD", .net = network()});
  all.back().optimizer = std::make_unique<optim::ABSGD>(all.back().net->parameters(),
                                                        optim::ABSGDOptions{.lr = 1e-3, .momentum = 0.9, .lambda = 5});
  all.push_back({.name = "L2RW", .net = network(), .meta = std::make_shared<train::LearnToReweight>()});
  all.push_back({.name = "Meta-Weight-Net", .net = network(), .meta = std::make_shared<train::MetaWeightNet>()});
  for (Method& m : all)
    if (m.meta) m.optimizer = std::make_unique<optim::SGD>(m.net->parameters(), sgd, m.meta);
  return all;
}

void compare(const Case& c, int rounds) {
  const data::Batch batch = synthetic(c, 1), clean = synthetic(c, 2);
  std::vector<Method> all = methods(c);
  for (int i = 0; i < 3; ++i)
    for (Method& m : all) m.step(batch, clean);
  for (Method& m : all) m.counted_step(batch, clean);
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i)
      all[(i + static_cast<std::size_t>(round)) % all.size()].timed_step(batch, clean);
    for (Method& m : all) m.ratios.push_back(m.milliseconds.back() / all.front().milliseconds.back());
  }
  for (const Method& m : all)
    fmt::print("| {} | {} | {} | {:.2f} | {:.3f} | {:.3f} .. {:.3f} | {} | {} | {} | {:.1f} |\n", c.model, c.batch, m.name,
               quantile(m.milliseconds, 0.5), quantile(m.ratios, 0.5), quantile(m.ratios, 0.25), quantile(m.ratios, 0.75),
               m.forwards, m.sweeps, m.products, m.peak_mib);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 100;
  const std::vector<std::string> wanted(argv + std::min(argc, 2), argv + argc);
  fmt::print("{} threads, {} rounds\n\n", num_threads(), rounds);
  fmt::print(
      "| model | batch | method | step ms | ratio to SGD, median | quartiles | forward passes | backward sweeps | jvp | peak "
      "MiB "
      "|\n|---|---|---|---|---|---|---|---|---|---|\n");
  for (const Case& c :
       {Case{"lenet5", {1, 28, 28}, 128}, Case{"resnet20", {3, 32, 32}, 100}, Case{"resnet32", {3, 32, 32}, 100}})
    if (wanted.empty() ? c.model != "resnet32" : std::find(wanted.begin(), wanted.end(), c.model) != wanted.end())
      compare(c, rounds);
}
