// What augmentations have in common. Internal.
#pragma once

#include <cstdint>
#include <span>

#include "core/check.h"
#include "data/augment.h"

namespace heft::data {

struct Extent {
  std::int64_t channels, height, width;
  std::int64_t numel() const { return channels * height * width; }
};

inline Extent extent_of(const char* op, const Batch& batch, std::span<const RandomKey> keys) {
  const Shape shape = batch.images.defined() ? batch.images.shape() : Shape{};
  check<ShapeError>(shape.rank() == 4 && batch.images.is_contiguous(), op,
                    "expected row-major images of shape (N, C, H, W); got {}", shape);
  check<ShapeError>(shape[0] == static_cast<std::int64_t>(keys.size()), op, "expected a key for each of {} images; got {}",
                    shape[0], keys.size());
  return {shape[1], shape[2], shape[3]};
}

// Calls change(image, random) for each image of the batch.
template <class F>
void for_each_image(Batch& batch, std::span<const RandomKey> keys, const Extent& extent, F&& change) {
  float* image = batch.images.mutable_data<float>();
  for (const RandomKey& key : keys) {
    RandomSequence random(key);
    change(image, random);
    image += extent.numel();
  }
}

inline std::int64_t below(RandomSequence& random, std::int64_t n) {
  return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(n)));
}

}  // namespace heft::data
