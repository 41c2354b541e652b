// The toy of the authors' code: 20 points of a rare class among 100 of a common one, a straight line between them, logistic
// loss. SGD draws the line where the mean loss is lowest, ABSGD where hard points count more. Prints both, and the weights of
// one batch of 16; draws them to the file that is given: 05_toy_2d toy.svg
#include <heft/heft.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>

#include "svg.h"

namespace {

constexpr double kLambda = 0.2;

struct Points {
  heft::Tensor x;       // (120, 2)
  heft::Tensor labels;  // 1: the rare class
};

Points points() {
  const heft::Tensor rare = heft::random_normal({20, 2}, 0.60, 0.05), common = heft::random_normal({100, 2}, 0.40, 0.10);
  return {heft::concat(std::vector<heft::Tensor>{rare, common}, 0),
          heft::concat(std::vector<heft::Tensor>{heft::Tensor::ones({20}), heft::Tensor::zeros({100})}, 0)
              .astype(heft::DType::i64)};
}

heft::Tensor rows(const heft::Tensor& x, const std::vector<std::int64_t>& positions) {
  return heft::index_select(x, 0, heft::Tensor::from(positions));
}

// 20 epochs in batches of 16, the same for every optimizer.
std::shared_ptr<heft::Linear> train(const Points& data, double lambda, std::vector<double>* weights = nullptr) {
  heft::manual_seed(2);
  auto line = heft::layer<heft::Linear>({.in_features = 2, .out_features = 1});
  heft::optim::ABSGD opt(line->parameters(), {.lr = 0.5, .weight_decay = 0, .lambda = lambda});
  const heft::data::Sampler order = heft::data::shuffled_sampler(120);
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    const std::vector<std::int64_t> positions = order.positions(1, epoch);
    for (std::size_t begin = 0; begin + 16 <= positions.size(); begin += 16) {
      const std::vector<std::int64_t> batch(positions.begin() + static_cast<std::ptrdiff_t>(begin),
                                            positions.begin() + static_cast<std::ptrdiff_t>(begin + 16));
      opt.minimize(heft::logistic((*line)(rows(data.x, batch)), rows(data.labels, batch)));
    }
  }
  if (weights) {  // those of points 12 to 27: eight of each class
    const heft::Variable losses = heft::logistic((*line)(data.x.slice(0, 12, 28)), data.labels.slice(0, 12, 28));
    *weights = opt.reduction().weigh(losses.value().to_vector<double>());
  }
  return line;
}

// The share of a class that lies on its side of the line.
double recall(const Points& data, heft::Linear& line, std::int64_t label) {
  const std::vector<double> z = line(data.x).value().to_vector<double>();
  double right = 0, all = 0;
  for (std::int64_t i = label == 1 ? 0 : 20; i < (label == 1 ? 20 : 120); ++i, ++all)
    right += (z[static_cast<std::size_t>(i)] > 0) == (label == 1);
  return right / all;
}

std::vector<std::pair<double, double>> boundary(heft::Linear& line) {
  const std::vector<double> w = line.weight().value().to_vector<double>(), b = line.bias().value().to_vector<double>();
  const auto y = [&](double x) { return -(w[0] * x + b[0]) / w[1]; };
  return {{0, y(0)}, {1, y(1)}};
}

}  // namespace

int main(int argc, char** argv) {
  heft::manual_seed(1);
  const Points data = points();
  std::vector<double> weights;
  const auto erm = train(data, heft::optim::ExponentialWeights::kInfinity), robust = train(data, kLambda, &weights);
  std::printf("recall of the rare and the common class: SGD %.2f %.2f, ABSGD (lambda %.1f) %.2f %.2f\n", recall(data, *erm, 1),
              recall(data, *erm, 0), kLambda, recall(data, *robust, 1), recall(data, *robust, 0));
  std::printf("weights of a batch of 16:");
  for (std::size_t i = 0; i < 16; ++i) std::printf(" %s%.2f", i == 8 ? "| " : "", weights[i]);
  std::printf("\n");
  if (argc < 2) return 0;

  Svg drawing({0, 1}, {0, 1});
  const std::vector<double> x = data.x.to_vector<double>();
  for (std::size_t i = 0; i < 120; ++i) drawing.circle(x[2 * i], x[2 * i + 1], 3, i < 20 ? "#d55e00" : "#0072b2");
  for (std::size_t i = 0; i < 16; ++i)  // area in proportion to the weight
    drawing.circle(x[2 * (i + 12)], x[2 * (i + 12) + 1], 8 * std::sqrt(weights[i]), i < 8 ? "#d55e00" : "#0072b2", 0.25);
  drawing.line(boundary(*erm), "#666", "6 4");
  drawing.line(boundary(*robust), "#111");
  drawing.text(0.02, 0.03, "dashed: SGD; solid: ABSGD, lambda 0.2; discs: weights of one batch of 16");
  drawing.text(0.62, 0.72, "rare", "#d55e00");
  drawing.text(0.20, 0.20, "common", "#0072b2");
  if (drawing.save(argv[1])) return 0;
  std::cerr << "05_toy_2d: expected to write " << argv[1] << "; the system refused\n";
  return 1;
}
