#include "data/mixup.h"

#include <cmath>

#include "core/check.h"

namespace heft::data {

namespace {

// The logarithm of a number from Gamma(alpha, 1), which underflows where alpha is small: Marsaglia and Tsang, "A simple method
// for generating gamma variables", ACM TOMS 26, 2000, for alpha + 1, times u^(1 / alpha).
double log_gamma_variate(RandomSequence& random, double alpha) {
  const double d = alpha + 1 - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = random.normal(), v = std::pow(1 + c * x, 3), u = 1 - random.uniform();
    if (v <= 0 || std::log(u) >= 0.5 * x * x + d - d * v + d * std::log(v)) continue;
    return std::log(d * v) + std::log(1 - random.uniform()) / alpha;
  }
}

// From Beta(alpha, alpha): x / (x + y) for x and y from Gamma(alpha, 1).
double beta_variate(RandomSequence& random, double alpha) {
  const double x = log_gamma_variate(random, alpha), y = log_gamma_variate(random, alpha);
  return 1 / (1 + std::exp(y - x));
}

}  // namespace

Augmentation mixup(const MixupOptions& options) {
  constexpr const char* kOp = "mixup";
  check(options.alpha >= 1e-3 && options.alpha <= 1e3, kOp, "expected alpha in [0.001, 1000]; got {}", options.alpha);
  return [options](Batch& batch, std::span<const RandomKey> keys) {
    const auto n = static_cast<std::int64_t>(keys.size());
    const Shape shape = batch.images.defined() ? batch.images.shape() : Shape{};
    check<ShapeError>(shape.rank() >= 1 && shape[0] == n && batch.size() == n && batch.images.is_contiguous(), kOp,
                      "expected row-major images and labels of {} samples, one for each key; got images of {} and {} labels", n,
                      shape, batch.size());
    check(!batch.own_share.defined(), kOp, "expected a batch that is not mixed; this one is");
    if (n == 0) return;
    RandomKey partner_key = keys[0];
    partner_key.stream = stream_of("data.mixup.partners", keys[0].stream);
    const std::vector<std::int64_t> partners = random_permutation(n, partner_key);
    const Tensor own_images = batch.images.clone(), own_labels = batch.labels;
    batch.own_share = Tensor::empty({n});
    batch.partner_labels = Tensor::empty({n}, DType::i64);
    const std::int64_t pixels = own_images.numel() / n;
    float* mixed = batch.images.mutable_data<float>();
    float share = 1;
    for (std::int64_t i = 0; i < n; ++i, mixed += pixels) {
      const auto k = static_cast<std::size_t>(i);
      if (i == 0 || options.per_sample) {
        RandomSequence random(keys[k]);
        share = static_cast<float>(beta_variate(random, options.alpha));
      }
      batch.own_share.mutable_data<float>()[i] = share;
      batch.partner_labels.mutable_data<std::int64_t>()[i] = own_labels.data<std::int64_t>()[partners[k]];
      const float* partner = own_images.data<float>() + partners[k] * pixels;
      for (std::int64_t p = 0; p < pixels; ++p) mixed[p] = share * mixed[p] + (1 - share) * partner[p];
    }
  };
}

}  // namespace heft::data
