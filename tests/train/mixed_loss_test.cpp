#include "train/mixed_loss.h"

#include <cmath>

#include "autograd/reduce.h"
#include "data/mixup.h"
#include "layers/losses.h"
#include "tests/catch_compat.h"

using namespace heft;

TEST_CASE("mixed loss: of both labels by the share, value and gradient of each sample", "[train][mixup]") {
  constexpr std::int64_t kSamples = 12, kClasses = 4;
  std::vector<std::int64_t> labels;
  std::vector<RandomKey> keys;
  for (std::int64_t i = 0; i < kSamples; ++i) {
    labels.push_back(i % kClasses);
    keys.push_back({.seed = 3, .stream = static_cast<std::uint64_t>(i)});
  }
  data::Batch batch{.images = Tensor::zeros({kSamples, 1, 2, 2}), .labels = Tensor::from(labels)};
  const Variable logits(random_normal({kSamples, kClasses}, 0, 2, DType::f64, Device::cpu(), {.seed = 5}), true);
  const train::Loss loss = [](const Variable& z, const Tensor& y) { return cross_entropy(z, y); };
  CHECK(train::mixed_loss(loss, logits, batch).value().to_vector<double>() ==
        loss(logits, batch.labels).value().to_vector<double>());

  data::mixup({.alpha = 1, .per_sample = true})(batch, keys);
  const Variable mixed = train::mixed_loss(loss, logits, batch);
  REQUIRE(mixed.shape() == Shape{kSamples});
  backward(sum(mixed));
  const auto z = logits.value().to_vector<double>(), value = mixed.value().to_vector<double>(),
             gradient = logits.grad().to_vector<double>();
  const auto share = batch.own_share.to_vector<float>();
  const auto partner = batch.partner_labels.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < kSamples; ++i) {
    double total = 0;
    for (std::size_t c = 0; c < kClasses; ++c) total += std::exp(z[i * kClasses + c]);
    // Cross entropy is linear in the target: that of the mixed one-hot target.
    double expected = 0;
    for (std::int64_t c = 0; c < kClasses; ++c) {
      const std::size_t at = i * kClasses + static_cast<std::size_t>(c);
      const double target = (labels[i] == c ? share[i] : 0.0) + (partner[i] == c ? 1.0 - share[i] : 0.0);
      expected -= target * (z[at] - std::log(total));
      CHECK(gradient[at] == Approx(std::exp(z[at]) / total - target).margin(1e-12));
    }
    CHECK(value[i] == Approx(expected).epsilon(1e-12));
  }
}
