// One loss of 1e4 in an ordinary run, at lambda 0.5: what the sum of the weights does in the authors' float arithmetic, in the
// log domain without a clip, and in heft. Prints every fifth step; draws the curves to the file that is given: 06_outlier
// outlier.svg
#include <heft/heft.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <vector>

#include "svg.h"

namespace {

constexpr int kSteps = 60, kOutlierAt = 20, kBatch = 128;
constexpr float kLambda = 0.5F, kGamma = 0.9F;

std::vector<double> losses(int step) {
  std::vector<double> all;
  for (int i = 0; i < kBatch; ++i) all.push_back(1 + 0.9 * std::sin(step * 128.0 + i));
  if (step == kOutlierAt) all[17] = 1e4;
  return all;
}

double mean(const std::vector<double>& weights) {
  double total = 0;
  for (const double w : weights) total += w / kBatch;
  return total;
}

// u and exp in float, from u = 0.
std::vector<double> authors() {
  std::vector<double> means;
  float u = 0;
  for (int step = 0; step < kSteps; ++step) {
    float batch = 0, total = 0;
    for (const double loss : losses(step)) batch += std::exp(static_cast<float>(loss) / kLambda) / kBatch;
    u = (1 - kGamma) * u + kGamma * batch;
    for (const double loss : losses(step)) total += std::exp(static_cast<float>(loss) / kLambda) / u / kBatch;
    means.push_back(total);
  }
  return means;
}

std::vector<double> heft_with(std::optional<double> clip) {
  heft::optim::ExponentialWeights reduction({.lambda = kLambda, .gamma = kGamma, .clip = clip});
  std::vector<double> means;
  for (int step = 0; step < kSteps; ++step) means.push_back(mean(reduction.weigh(losses(step))));
  return means;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<double> theirs = authors(), unclipped = heft_with(heft::optim::ExponentialWeights::kInfinity),
                            ours = heft_with({});
  std::printf("mean weight of a batch; the loss of 1e4 comes at step %d\n\n%5s %12s %12s %12s\n", kOutlierAt, "step", "float",
              "log domain", "heft");
  for (int step = 0; step < kSteps; ++step)
    if (step % 5 == 0 || std::abs(step - kOutlierAt) < 4)
      std::printf("%5d %12.4g %12.4g %12.4g\n", step, theirs[static_cast<std::size_t>(step)],
                  unclipped[static_cast<std::size_t>(step)], ours[static_cast<std::size_t>(step)]);
  if (argc < 2) return 0;

  Svg drawing({0, kSteps}, {0, 1.4});
  const auto draw = [&](const std::vector<double>& means, const char* colour, const char* dash) {
    std::vector<std::pair<double, double>> curve;
    for (int step = 0; step < kSteps; ++step) {
      const double value = means[static_cast<std::size_t>(step)];
      if (std::isnan(value)) {
        drawing.line(curve, colour, dash);
        curve.clear();
        drawing.text(step, 1.25, "NaN", colour, "middle");
      } else {
        curve.emplace_back(step, value);
      }
    }
    drawing.line(curve, colour, dash);
  };
  draw(theirs, "#d55e00", "2 4");
  draw(unclipped, "#0072b2", "8 4");
  draw(ours, "#111", "");
  drawing.text(33, 0.20, "float: NaN once, then 0 for ever", "#d55e00");
  drawing.text(33, 0.10, "log domain, no clip: 0 for 8,700 steps", "#0072b2");
  drawing.text(33, 1.12, "heft: ordinary again after 3 steps", "#111");
  drawing.text(kSteps / 2.0, -0.1, "step; mean weight of the batch upwards, 0 to 1.4", "#333", "middle");
  if (drawing.save(argv[1])) return 0;
  std::cerr << "06_outlier: expected to write " << argv[1] << "; the system refused\n";
  return 1;
}
