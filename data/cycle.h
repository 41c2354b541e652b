// Batches without end.
#pragma once

#include <cstdint>
#include <optional>

#include "data/loader.h"

namespace heft::data {

// The epochs of a loader one after another, for a second stream beside the training data: a meta-learning method's clean
// batches. A small set is best loaded with workers = 0: a thread per epoch would cost more than it prepares.
class Cycle {
 public:
  // Throws ValueError where the loader has no batch.
  explicit Cycle(Loader loader);
  Batch next();
  // To where `batches` calls of next() lead from the start, so that a resumed run sees the batches it would have seen.
  void seek(std::uint64_t batches);

 private:
  Loader loader_;
  std::optional<Loader::Iterator> at_ = {};  // the next batch; none: the next epoch's first
};

}  // namespace heft::data
