#include "data/normalize.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "data/loader.h"

namespace heft::data {

namespace {

void check_images(const char* op, const Tensor& images) {
  check<ShapeError>(images.rank() == 4, op, "expected images of shape (N, C, H, W); got {}", images.shape());
}

}  // namespace

Normalization estimate_normalization(const DatasetPtr& dataset, int workers) {
  constexpr const char* kOp = "estimate_normalization";
  check(dataset != nullptr && dataset->size() > 0, kOp, "expected a data set with samples; got none");
  std::vector<double> sum, squares;
  double pixels = 0;  // per channel
  Loader pieces(dataset, {.batch_size = 256, .workers = workers});
  for (const Batch& piece : pieces) {
    const Tensor& images = piece.images;
    check_images(kOp, images);
    const auto channels = static_cast<std::size_t>(images.size(1));
    sum.resize(channels);
    squares.resize(channels);
    const std::int64_t area = images.shape().product(2, 4);
    const float* x = images.data<float>();
    for (std::size_t i = 0; i < static_cast<std::size_t>(images.size(0)) * channels; ++i, x += area) {
      double s = 0, q = 0;
      for (std::int64_t p = 0; p < area; ++p) {
        s += x[p];
        q += double{x[p]} * x[p];
      }
      sum[i % channels] += s;
      squares[i % channels] += q;
    }
    pixels += static_cast<double>(area * images.size(0));
  }
  Normalization out;
  for (std::size_t c = 0; c < sum.size(); ++c) {
    const double mean = sum[c] / pixels;
    out.mean.push_back(mean);
    out.std.push_back(std::sqrt(std::max(0.0, squares[c] / pixels - mean * mean)));
  }
  return out;
}

void normalize_(Tensor& images, const Normalization& normalization) {
  constexpr const char* kOp = "normalize";
  check_images(kOp, images);
  const auto channels = static_cast<std::size_t>(images.size(1));
  check(normalization.mean.size() == channels && normalization.std.size() == channels, kOp,
        "expected a mean and a std for each of {} channels; got {} and {}", channels, normalization.mean.size(),
        normalization.std.size());
  for (std::size_t c = 0; c < channels; ++c)
    check(std::isfinite(normalization.mean[c]) && std::isfinite(normalization.std[c]) && normalization.std[c] > 0, kOp,
          "expected a finite mean and std > 0; channel {} has {} and {}", c, normalization.mean[c], normalization.std[c]);
  check<ShapeError>(images.is_contiguous(), kOp, "expected row-major images; got a view of shape {}", images.shape());
  const std::int64_t area = images.shape().product(2, 4);
  float* x = images.mutable_data<float>();
  for (std::int64_t plane = 0; plane < images.shape().product(0, 2); ++plane, x += area) {
    const std::size_t c = static_cast<std::size_t>(plane) % channels;
    const auto mean = static_cast<float>(normalization.mean[c]);
    const auto scale = static_cast<float>(1 / normalization.std[c]);
    for (std::int64_t p = 0; p < area; ++p) x[p] = (x[p] - mean) * scale;
  }
}

}  // namespace heft::data
