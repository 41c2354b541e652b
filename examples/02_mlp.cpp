// A multilayer perceptron that tells two spirals apart.
//
// The two classes wind around each other, so no straight line separates them. A small network of linear layers and ReLUs,
// trained with Adam on all points at once, bends its boundary until it does. The loop is the one that every example has:
// losses (one per sample), zero_grad, backward of the reduced losses, step. At the end the plane is drawn as the network
// sees it.
#include <heft/heft.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <numbers>

using namespace heft;

namespace {

struct Points {
  Tensor positions;  // (N, 2), in [-1, 1]
  Tensor labels;     // (N)
};

// Points along two arms, half a turn apart, with a little noise.
Points two_spirals(std::int64_t per_arm, std::uint64_t seed) {
  RandomSequence random({.seed = seed});
  std::vector<float> positions;
  std::vector<std::int64_t> labels;
  for (std::int64_t arm = 0; arm < 2; ++arm)
    for (std::int64_t i = 0; i < per_arm; ++i) {
      const double radius = std::sqrt(random.uniform());
      const double angle = std::numbers::pi * (3 * radius + static_cast<double>(arm));
      positions.push_back(static_cast<float>(radius * std::cos(angle) + 0.02 * random.normal()));
      positions.push_back(static_cast<float>(radius * std::sin(angle) + 0.02 * random.normal()));
      labels.push_back(arm);
    }
  return {Tensor::from(positions, {2 * per_arm, 2}), Tensor::from(labels)};
}

double accuracy(Module& net, const Points& points) {
  const NoGrad no_grad;
  const Tensor right = compare<fn::Equal>(argmax(net(points.positions)), points.labels);
  return mean(right.astype(DType::f32)).item();
}

void draw(Module& net) {
  constexpr int kRows = 21, kColumns = 42;
  std::vector<float> grid;
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) {
      grid.push_back(2.2f * static_cast<float>(c) / (kColumns - 1) - 1.1f);
      grid.push_back(1.1f - 2.2f * static_cast<float>(r) / (kRows - 1));
    }
  const NoGrad no_grad;
  const auto classes = argmax(net(Tensor::from(grid, {kRows * kColumns, 2}))).to_vector<std::int64_t>();
  for (std::size_t i = 0; i < classes.size(); ++i) std::cout << (classes[i] ? '#' : '.') << ((i + 1) % kColumns ? "" : "\n");
}

}  // namespace

int main() {
  manual_seed(1);
  const Points train = two_spirals(400, 1), test = two_spirals(400, 2);
  const ModulePtr net = models::mlp({.inputs = 2, .hidden = {64, 64}, .classes = 2});
  std::cout << summarize(*net, train.positions.shape()).str() << "\n";

  optim::Adam opt(net->parameters(), {.lr = 0.01});
  for (int epoch = 1; epoch <= 300; ++epoch) {
    const Variable losses = cross_entropy((*net)(train.positions), train.labels);  // (N): one loss per sample
    opt.zero_grad();
    backward(opt.reduce(losses));
    opt.step();
    if (epoch % 50 == 0)
      std::cout << "epoch " << epoch << ": loss " << mean(losses.value()).item() << ", test accuracy " << accuracy(*net, test)
                << "\n";
  }
  std::cout << "\n";
  draw(*net);
  return accuracy(*net, test) > 0.95 ? EXIT_SUCCESS : EXIT_FAILURE;
}
