// One loss of 1e4 in an ordinary run, at lambda 0.5, once mid-run and once in the first batch: what the sum of the weights does
// in the authors' float arithmetic, in the log domain without a clip, and in heft. Prints every fifth step; draws the curves to
// the file that is given: 06_outlier outlier.svg
#include <heft/heft.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <optional>
#include <vector>

#include "svg.h"

namespace {

constexpr int kSteps = 60, kBatch = 128;
constexpr float kLambda = 0.5F, kGamma = 0.9F;

std::vector<double> losses(int step, int outlier_at) {
  std::vector<double> all;
  for (int i = 0; i < kBatch; ++i) all.push_back(1 + 0.9 * std::sin(step * 128.0 + i));
  if (step == outlier_at) all[17] = 1e4;
  return all;
}

double mean(const std::vector<double>& weights) {
  double total = 0;
  for (const double w : weights) total += w / kBatch;
  return total;
}

// u and exp in float, from u = 0.
std::vector<double> authors(int outlier_at) {
  std::vector<double> means;
  float u = 0;
  for (int step = 0; step < kSteps; ++step) {
    float batch = 0, total = 0;
    for (const double loss : losses(step, outlier_at)) batch += std::exp(static_cast<float>(loss) / kLambda) / kBatch;
    u = (1 - kGamma) * u + kGamma * batch;
    for (const double loss : losses(step, outlier_at)) total += std::exp(static_cast<float>(loss) / kLambda) / u / kBatch;
    means.push_back(total);
  }
  return means;
}

std::vector<double> heft_with(std::optional<double> clip, int outlier_at) {
  heft::optim::ExponentialWeights reduction({.lambda = kLambda, .gamma = kGamma, .clip = clip});
  std::vector<double> means;
  for (int step = 0; step < kSteps; ++step) means.push_back(mean(reduction.weigh(losses(step, outlier_at))));
  return means;
}

struct Curves {
  int outlier_at;
  std::vector<double> theirs = authors(outlier_at),
                      unclipped = heft_with(heft::optim::ExponentialWeights::kInfinity, outlier_at),
                      ours = heft_with({}, outlier_at);
};

void print(const Curves& curves) {
  std::printf("mean weight of a batch; the loss of 1e4 comes at step %d\n\n%5s %12s %12s %12s\n", curves.outlier_at, "step",
              "float", "log domain", "heft");
  for (int step = 0; step < kSteps; ++step) {
    const auto at = static_cast<std::size_t>(step);
    if (step % 5 == 0 || std::abs(step - curves.outlier_at) < 4)
      std::printf("%5d %12.4g %12.4g %12.4g\n", step, curves.theirs[at], curves.unclipped[at], curves.ours[at]);
  }
  std::printf("\n");
}

// From `left` on along the axis of steps.
void draw(Svg& drawing, const Curves& curves, int left) {
  const auto line = [&](const std::vector<double>& means, const char* colour, const char* dash) {
    std::vector<std::pair<double, double>> curve;
    for (int step = 0; step < kSteps; ++step) {
      const double value = means[static_cast<std::size_t>(step)];
      if (std::isnan(value)) {
        drawing.line(curve, colour, dash);
        curve.clear();
        drawing.text(left + step, 1.25, "NaN", colour, step > 0 ? "middle" : "start");
      } else {
        curve.emplace_back(left + step, value);
      }
    }
    drawing.line(curve, colour, dash);
  };
  line(curves.theirs, "#d55e00", "2 4");
  line(curves.unclipped, "#0072b2", "8 4");
  line(curves.ours, "#111", "");
}

}  // namespace

int main(int argc, char** argv) {
  const Curves midway{20}, first{0};
  print(midway);
  print(first);
  if (argc < 2) return 0;

  constexpr int kSecond = kSteps + 10;
  Svg drawing({0, kSecond + kSteps}, {0, 1.4});
  draw(drawing, midway, 0);
  draw(drawing, first, kSecond);
  drawing.text(kSteps / 2.0, 1.43, "one loss of 1e4 at step 20", "#333", "middle");
  drawing.text(kSecond + kSteps / 2.0, 1.43, "one loss of 1e4 in the first batch", "#333", "middle");
  drawing.text(kSecond + 3, 0.34, "float: NaN once, then 0 for ever", "#d55e00");
  drawing.text(kSecond + 3, 0.24, "log domain, no clip: 0 for 8,700 steps", "#0072b2");
  drawing.text(kSecond + 3, 1.12, "heft: ordinary again after 3 steps", "#111");
  drawing.text(kSecond - 5, -0.1, "step; mean weight of the batch upwards, 0 to 1.4", "#333", "middle");
  if (drawing.save(argv[1])) return 0;
  std::cerr << "06_outlier: expected to write " << argv[1] << "; the system refused\n";
  return 1;
}
