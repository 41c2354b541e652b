#include "train/fingerprint.h"

#include <algorithm>

#include "train/checksum.h"

namespace heft::train {
namespace {

constexpr std::int64_t kImages = 256;

std::uint32_t sum(const std::vector<std::int64_t>& numbers) {
  return checksum::of(numbers.data(), numbers.size() * sizeof(std::int64_t));
}

}  // namespace

std::string fingerprint(const data::Dataset& dataset) {
  const std::int64_t size = dataset.size(), images = std::min(size, kImages);
  std::vector<std::uint32_t> sums{sum({size, dataset.classes()}), sum(dataset.labels())};
  for (std::int64_t i = 0; i < images; ++i) {
    const Tensor image = dataset.get(i * size / images).image.contiguous();
    sums.push_back(sum({image.shape().begin(), image.shape().end()}));
    sums.push_back(checksum::of(image.data<float>(), static_cast<std::size_t>(image.numel()) * sizeof(float)));
  }
  return checksum::digits({checksum::of(sums.data(), sums.size() * sizeof(std::uint32_t))});
}

}  // namespace heft::train
