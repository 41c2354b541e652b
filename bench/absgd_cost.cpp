// What ABSGD costs over SGD: a whole training step of each (forward, losses, backward, update), A B A B on the same machine
// in the same minute, synthetic images in memory, batch 128. Prints the median step, the ratio of each pair's times
// (median and quartiles), and the time of the reduction alone; of ABSGD by itself, and with what `heft train` adds to it, a
// bound on the gradient's norm and a floor on a batch's effective share. bench/absgd_cost [PAIRS [MODEL ...]]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "heft.h"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

struct Run {
  heft::ModulePtr net;
  std::unique_ptr<heft::optim::Optimizer> optimizer = nullptr;
  heft::Tensor images, labels;
  std::vector<double> reduce_ms = {};

  void step() {
    const heft::Variable losses = heft::cross_entropy((*net)(images), labels);
    optimizer->zero_grad();
    const auto start = Clock::now();
    const heft::Variable objective = optimizer->reduce(losses);
    reduce_ms.push_back(milliseconds_since(start));
    heft::backward(objective);
    optimizer->step();
  }
};

struct Case {
  std::string model;
  heft::Shape image;
};

heft::ModulePtr network(const Case& c) {
  heft::manual_seed(1);
  return heft::models::make(c.model, {.classes = 10, .channels = c.image[0], .image_size = c.image[1]});
}

void compare(const Case& c, int pairs, bool as_trained) {
  const heft::Tensor images = heft::random_normal({128, c.image[0], c.image[1], c.image[2]});
  const heft::Tensor labels = heft::random_uniform({128}, 0, 10).astype(heft::DType::i64);
  Run sgd{.net = network(c), .images = images, .labels = labels}, absgd{.net = network(c), .images = images, .labels = labels};
  sgd.optimizer =
      std::make_unique<heft::optim::SGD>(sgd.net->parameters(), heft::optim::SGDOptions{.lr = 1e-3, .momentum = 0.9});
  heft::optim::ABSGDOptions options{.lr = 1e-3, .momentum = 0.9, .lambda = 5.0, .gamma = 0.9};
  if (as_trained) options.clip_norm = 1, options.min_share = 0.5;
  absgd.optimizer = std::make_unique<heft::optim::ABSGD>(absgd.net->parameters(), options);
  for (int i = 0; i < 5; ++i) sgd.step(), absgd.step();
  std::vector<double> a, b, ratios;
  const auto timed = [](Run& run) {
    const auto start = Clock::now();
    run.step();
    return milliseconds_since(start);
  };
  for (int i = 0; i < pairs; ++i) {  // who goes first alternates
    double first = timed(i % 2 ? absgd : sgd), second = timed(i % 2 ? sgd : absgd);
    if (i % 2) std::swap(first, second);
    a.push_back(first), b.push_back(second), ratios.push_back(second / first);
  }
  fmt::print("| {}{} | {:.3f} | {:.3f} | {:.4f} | {:.4f} .. {:.4f} | {:.1f} | {:.1f} |\n", c.model,
             as_trained ? ", as heft train" : "", quantile(a, 0.5), quantile(b, 0.5), quantile(ratios, 0.5),
             quantile(ratios, 0.25), quantile(ratios, 0.75), 1e3 * quantile(sgd.reduce_ms, 0.5),
             1e3 * quantile(absgd.reduce_ms, 0.5));
}

}  // namespace

int main(int argc, char** argv) {
  const int pairs = argc > 1 ? std::atoi(argv[1]) : 200;
  if (pairs < 1) {
    fmt::print(stderr, "usage: absgd_cost [PAIRS [MODEL ...]]; MODEL is mlp, lenet5 or resnet20\n");
    return 2;
  }
  const std::vector<std::string> wanted(argv + std::min(argc, 2), argv + argc);
  fmt::print("{} threads, batch 128, {} pairs\n\n", heft::num_threads(), pairs);
  fmt::print(
      "| model | SGD ms | ABSGD ms | ratio, median of pairs | quartiles | reduce SGD us | reduce ABSGD us "
      "|\n|---|---|---|---|---|---|---|\n");
  for (const Case& c : {Case{"mlp", {1, 28, 28}}, Case{"lenet5", {1, 28, 28}}, Case{"resnet20", {3, 32, 32}}})
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), c.model) != wanted.end())
      for (const bool as_trained : {false, true}) compare(c, pairs, as_trained);
}
