#include "data/mixup.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "tests/catch_compat.h"

using heft::RandomKey;
using heft::Tensor;
using heft::data::Batch;
using heft::data::mixup;
using heft::data::MixupOptions;
using heft::test::contains;
using heft::test::message_of;
using Labels = std::vector<std::int64_t>;

namespace {

// Sample i has the image (i, -i) and the label i.
Batch numbered(std::int64_t n) {
  std::vector<float> pixels;
  for (std::int64_t i = 0; i < n; ++i)
    for (const float sign : {1.f, -1.f}) pixels.push_back(sign * static_cast<float>(i));
  return {.images = Tensor::from(pixels, {n, 2}),
          .labels = Tensor::arange(n),
          .indices = Tensor::arange(n),
          .clean_labels = Tensor::arange(n)};
}

Batch mixed(std::int64_t n, const MixupOptions& options, std::uint64_t seed = 0) {
  std::vector<RandomKey> keys;
  for (std::int64_t i = 0; i < n; ++i) keys.push_back({.seed = seed, .stream = static_cast<std::uint64_t>(i)});
  Batch batch = numbered(n);
  mixup(options)(batch, keys);
  return batch;
}

}  // namespace

TEST_CASE("mixup: images and both labels mix by the same share", "[data][mixup]") {
  for (const bool per_sample : {false, true}) {
    const Batch batch = mixed(40, {.alpha = 1, .per_sample = per_sample});
    CHECK(batch.labels.to_vector<std::int64_t>() == numbered(40).labels.to_vector<std::int64_t>());
    CHECK(batch.indices.to_vector<std::int64_t>() == batch.clean_labels.to_vector<std::int64_t>());
    Labels partners = batch.partner_labels.to_vector<std::int64_t>();
    const auto pixels = batch.images.to_vector<float>(), shares = batch.own_share.to_vector<float>();
    for (std::size_t i = 0; i < 40; ++i) {
      const double value = shares[i] * static_cast<double>(i) + (1.0 - shares[i]) * static_cast<double>(partners[i]);
      CHECK(pixels[2 * i] == Approx(value).margin(1e-5));
      CHECK(pixels[2 * i + 1] == Approx(-value).margin(1e-5));
      CHECK((shares[i] >= 0 && shares[i] <= 1));
    }
    CHECK(std::set<float>(shares.begin(), shares.end()).size() == (per_sample ? 40 : 1));
    CHECK_FALSE(std::is_sorted(partners.begin(), partners.end()));
    std::sort(partners.begin(), partners.end());
    CHECK(partners == numbered(40).labels.to_vector<std::int64_t>());
  }
  const Batch again = mixed(40, {.alpha = 1}), other = mixed(40, {.alpha = 1}, 1);
  CHECK(again.images.to_vector<float>() == mixed(40, {.alpha = 1}).images.to_vector<float>());
  CHECK(again.own_share.to_vector<float>() != other.own_share.to_vector<float>());
  CHECK(again.partner_labels.to_vector<std::int64_t>() != other.partner_labels.to_vector<std::int64_t>());
  CHECK(mixed(1, {}).images.to_vector<float>() == std::vector<float>{0, 0});
  CHECK(mixed(3, {}).to(heft::Device::cpu()).own_share.numel() == 3);
}

TEST_CASE("mixup: the share is Beta(alpha, alpha)", "[data][mixup]") {
  constexpr std::int64_t kDraws = 20000;
  const auto moments = [](double alpha, double expected_variance) {
    double mean = 0, square = 0, fourth = 0;
    for (const float share : mixed(kDraws, {.alpha = alpha, .per_sample = true}).own_share.to_vector<float>()) {
      const double d = share - 0.5;
      mean += d / kDraws;
      square += d * d / kDraws;
      fourth += d * d * d * d / kDraws;
    }
    CAPTURE(alpha);
    CHECK(std::abs(mean) < 5 * std::sqrt(expected_variance / kDraws));
    CHECK(std::abs(square - expected_variance) < 5 * std::sqrt((fourth - square * square) / kDraws) + 1e-12);
    const double kurtosis = 3 - 6 / (2 * alpha + 3);  // of Beta(alpha, alpha)
    CHECK(fourth / (square * square) == Approx(kurtosis).epsilon(0.06));
  };
  for (const double alpha : {0.001, 0.2, 1.0, 8.0, 1000.0}) moments(alpha, 1 / (4 * (2 * alpha + 1)));
  // Beta(1, 1) is uniform: Kolmogorov's distance.
  std::vector<float> uniform = mixed(kDraws, {.alpha = 1, .per_sample = true}).own_share.to_vector<float>();
  std::sort(uniform.begin(), uniform.end());
  double distance = 0;
  for (std::size_t i = 0; i < uniform.size(); ++i)
    distance = std::max(distance, std::abs(uniform[i] - static_cast<double>(i) / kDraws));
  CHECK(distance < 1.95 / std::sqrt(double{kDraws}));  // one in a thousand
}

TEST_CASE("mixup: options and batches outside their domain are named", "[data][mixup]") {
  for (const double alpha : {0.0, -1.0, 1e9, std::nan("")})
    CHECK(contains(message_of<heft::ValueError>([&] { mixup({.alpha = alpha}); }), "expected alpha in [0.001, 1000]; got"));
  Batch batch = mixed(3, {});
  const std::vector<RandomKey> keys(3);
  CHECK(contains(message_of<heft::ValueError>([&] { mixup()(batch, keys); }), "not mixed; this one is"));
  Batch three = numbered(3);
  CHECK(contains(message_of<heft::ShapeError>([&] { mixup()(three, std::span(keys).first(2)); }),
                 "2 samples, one for each key; got images of (3, 2) and 3 labels"));
  Batch none;
  CHECK_THROWS_AS(mixup()(none, keys), heft::ShapeError);
}
