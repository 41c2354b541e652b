// LeNet-5 by ABSGD on a long tail: Fashion-MNIST with 6000 ankle boots down to 60 T-shirts, or made-up images where the
// data set is not installed. Arguments: epochs (2), lambda (5).
#include <heft/heft.h>

#include <cstdlib>
#include <iostream>

namespace {

// Class c is a bright bar in rows 2c + 4 and 2c + 5, under noise.
heft::data::DatasetPtr made_up(std::int64_t n, std::uint64_t seed) {
  heft::Tensor images = heft::random_uniform({n, 1, 28, 28}, 0, 0.3, heft::DType::f32, heft::Device::cpu(), {.seed = seed});
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    labels.push_back(i % 10);
    images.select(0, i).slice(1, 2 * (i % 10) + 4, 2 * (i % 10) + 6).fill_(0.9);
  }
  return heft::data::memory_dataset(images, heft::Tensor::from(labels), {.classes = 10});
}

heft::data::DatasetPtr images(bool train) {
  try {
    return heft::data::fashion_mnist({.train = train});
  } catch (const heft::DataError& error) {
    std::cout << error.what() << "\nmade-up images instead\n";
    return made_up(train ? 20000 : 1000, train);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int epochs = argc > 1 ? std::atoi(argv[1]) : 2;
  const double lambda = argc > 2 ? std::atof(argv[2]) : 5;
  heft::manual_seed(1);
  const auto train = heft::data::long_tailed(images(true), {.ratio = 0.01, .order = heft::data::ClassOrder::reversed});
  const auto test = images(false);
  heft::data::Loader batches(train, {.batch_size = 128, .shuffle = true});
  const auto net = heft::models::lenet5({.classes = 10});
  heft::optim::ABSGD opt(net->parameters(), {.lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4, .lambda = lambda});

  for (int epoch = 1; epoch <= epochs; ++epoch) {
    for (const heft::data::Batch& batch : batches) {
      heft::Variable losses = heft::cross_entropy((*net)(batch.images), batch.labels);  // one loss per sample
      opt.zero_grad();
      heft::backward(opt.reduce(losses));  // mean of w_i * loss_i
      opt.step();
    }
    const heft::train::Evaluation result = heft::train::evaluate(*net, test);
    std::cout << "epoch " << epoch << ": balanced accuracy " << result.balanced_accuracy << ", worst class "
              << result.worst_class_accuracy << ", weights of the last batch as of " << opt.reduction().effective_sample_size()
              << " samples\n";
  }
}
