#include "data/cycle.h"

#include <utility>

#include "core/check.h"

namespace heft::data {

Cycle::Cycle(Loader loader) : loader_(std::move(loader)) {
  check(loader_.size() >= 1, "cycle", "expected a loader with at least one batch; it has none");
  loader_.set_epoch(0);
}

Batch Cycle::next() {
  if (!at_) at_ = loader_.begin();
  Batch batch = **at_;
  if (++*at_ == loader_.end()) at_.reset();
  return batch;
}

void Cycle::seek(std::uint64_t batches) {
  const auto size = static_cast<std::uint64_t>(loader_.size());
  at_.reset();
  loader_.set_epoch(batches / size, static_cast<std::int64_t>(batches % size));
}

}  // namespace heft::data
