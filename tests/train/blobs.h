// A data set that a small network learns in a few steps: class c is bright in column c, with noise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/random.h"
#include "data/dataset.h"
#include "tests/data/temporary_directory.h"

namespace heft::test {

constexpr std::int64_t kBlobSide = 12;

// Bytes of `counts[c]` images of each class c, (kBlobSide x kBlobSide), and their labels.
struct BlobBytes {
  std::vector<std::uint8_t> images, labels;
};
inline BlobBytes blob_bytes(const std::vector<std::int64_t>& counts, std::uint64_t seed) {
  BlobBytes bytes;
  RandomSequence random({.seed = seed});
  for (std::size_t c = 0; c < counts.size(); ++c)
    for (std::int64_t i = 0; i < counts[c]; ++i) {
      bytes.labels.push_back(static_cast<std::uint8_t>(c));
      for (std::int64_t pixel = 0; pixel < kBlobSide * kBlobSide; ++pixel) {
        const bool bright = pixel % kBlobSide == static_cast<std::int64_t>(c);
        bytes.images.push_back(static_cast<std::uint8_t>((bright ? 155 : 0) + random.below(100)));
      }
    }
  return bytes;
}

inline data::DatasetPtr blobs(const std::vector<std::int64_t>& counts, std::uint64_t seed = 1) {
  const BlobBytes bytes = blob_bytes(counts, seed);
  const auto n = static_cast<std::int64_t>(bytes.labels.size());
  return data::memory_dataset(Tensor::from(bytes.images, {n, 1, kBlobSide, kBlobSide}),
                              Tensor::from(std::vector<std::int64_t>(bytes.labels.begin(), bytes.labels.end())),
                              {.classes = static_cast<std::int64_t>(counts.size())});
}

// The same as four IDX files.
inline void write_blobs(const TemporaryDirectory& folder, const std::vector<std::int64_t>& train,
                        const std::vector<std::int64_t>& test) {
  const auto write = [&](const std::string& prefix, const BlobBytes& bytes) {
    const auto n = static_cast<std::uint32_t>(bytes.labels.size());
    const auto side = static_cast<std::uint32_t>(kBlobSide);
    folder.write(prefix + "-images-idx3-ubyte", idx_bytes({n, side, side}, {bytes.images.begin(), bytes.images.end()}));
    folder.write(prefix + "-labels-idx1-ubyte", idx_bytes({n}, {bytes.labels.begin(), bytes.labels.end()}));
  };
  write("train", blob_bytes(train, 1));
  write("t10k", blob_bytes(test, 2));
}

}  // namespace heft::test
