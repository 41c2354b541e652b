// What it costs to take images from files while training on them. bench/loading.py makes the files, runs this beside PyTorch's
// DataLoader and prints the tables of bench/results/loading.md.
//
//   loading train FOLDER STEPS KIND...     ResNet-18 at 64x64, batch 64, ABSGD: milliseconds a step, a line for each kind of
//   data in
//       the order given: `memory`, one batch that is there already, augmented and normalised; `cold`, every image decoded when
//       it is fetched; `cache`, decoded in an epoch before (the file of --cache file)
//   loading loader FOLDER WORKERS [EPOCHS]    the loader alone: images a second, a line for each epoch after the first
//
// Images go through what `heft train --augment resized-crop-flip` does to them, by as many threads.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "heft.h"

namespace {

using namespace heft;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kSize = 64, kBatch = 64;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

data::DatasetPtr images_of(const std::string& folder, data::ImageCaching cache) {
  return data::image_folder(folder, {.size = kSize, .channels = 3, .cache = cache, .cache_folder = folder + ".cache"});
}

data::Loader loader_of(data::DatasetPtr dataset, int workers) {
  return data::Loader(std::move(dataset), {.batch_size = kBatch,
                                           .shuffle = true,
                                           .workers = workers,
                                           .drop_last = true,
                                           .augment = data::compose({data::random_resized_crop(), data::horizontal_flip()}),
                                           .normalize = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}});
}

class Training {
 public:
  Training() {
    manual_seed(1);
    net_ = models::make("resnet18", {.classes = 2, .channels = 3, .image_size = kSize});
    optimizer_ =
        std::make_unique<optim::ABSGD>(net_->parameters(), optim::ABSGDOptions{.lr = 1e-3, .momentum = 0.9, .lambda = 5});
  }

  void step(const data::Batch& batch) {
    const Variable losses = cross_entropy((*net_)(batch.images), batch.labels);
    optimizer_->zero_grad();
    backward(optimizer_->reduce(losses));
    optimizer_->step();
  }

  // Milliseconds a step. The first one is not timed: during it the loader fills its queue, and from then on prepares as many
  // batches as the steps take.
  double timed(data::Loader& batches, int steps) {
    data::Loader::Iterator batch = batches.begin();
    step(*batch);
    const auto start = Clock::now();
    for (int i = 0; i < steps; ++i) step(*++batch);
    return milliseconds_since(start) / steps;
  }
  double timed(const data::Batch& batch, int steps) {
    step(batch);
    const auto start = Clock::now();
    for (int i = 0; i < steps; ++i) step(batch);
    return milliseconds_since(start) / steps;
  }

 private:
  ModulePtr net_;
  std::unique_ptr<optim::Optimizer> optimizer_;
};

double time_training(Training& training, const std::string& folder, const std::string& kind, int steps) {
  const bool cold = kind == "cold";
  data::Loader batches =
      loader_of(images_of(folder, cold ? data::ImageCaching::none : data::ImageCaching::file), cold ? num_threads() : 1);
  if (kind == "memory") return training.timed(*batches.begin(), steps);
  // The queue's four batches, too: were there fewer, the last steps would have nothing beside them.
  if (batches.size() < steps + 5)
    throw std::invalid_argument(
        fmt::format("expected {} images or more; got {}", (steps + 5) * kBatch, batches.size() * kBatch));
  return training.timed(batches, steps);
}

void time_loader(const std::string& folder, int workers, int epochs) {
  data::Loader batches = loader_of(images_of(folder, data::ImageCaching::none), workers);
  for (int epoch = 0; epoch <= epochs; ++epoch) {
    const auto start = Clock::now();
    std::int64_t images = 0;
    for (const data::Batch& batch : batches) images += batch.size();
    if (epoch > 0)
      std::cout << fmt::format("{:.1f}", 1e3 * static_cast<double>(images) / milliseconds_since(start)) << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](std::size_t i, int otherwise) { return i < words.size() ? std::atoi(words[i].c_str()) : otherwise; };
  try {
    if (words.size() >= 4 && words[0] == "train" && number(2, 0) >= 1) {
      Training training;
      for (std::size_t i = 3; i < words.size(); ++i)
        std::cout << fmt::format("{:.2f}", time_training(training, words[1], words[i], number(2, 0))) << std::endl;
      return 0;
    }
    if (words.size() >= 3 && words[0] == "loader" && number(2, -1) >= 0 && number(3, 2) >= 1)
      return time_loader(words[1], number(2, 0), number(3, 2)), 0;
    std::cerr << "usage: loading train FOLDER STEPS {memory|cold|cache}... | loading loader FOLDER WORKERS [EPOCHS]\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "loading: " << error.what() << '\n';
    return 1;
  }
}
