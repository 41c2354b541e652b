#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"

namespace heft::data {

// Worker threads take batch numbers in order and put each result into slot (number % slots); the consumer empties the
// slots in order. A number is handed out only when its slot is free, which bounds the memory.
class Loader::Epoch {
 public:
  Epoch(DatasetPtr dataset, const LoaderOptions& options, std::uint64_t number, std::int64_t first, std::int64_t batches,
        std::vector<std::int64_t> positions)
      : dataset_(std::move(dataset)),
        options_(options),
        number_(number),
        batches_(batches),
        positions_(std::move(positions)),
        slots_(static_cast<std::size_t>(options.prefetch)),
        started_(first),
        taken_(first) {
    const auto threads = std::min<std::int64_t>({options_.workers, options_.prefetch, batches_ - first});
    try {
      for (std::int64_t i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {  // the machine has no more threads: end those that run before the queue goes
      stop();
      throw;
    }
  }
  ~Epoch() { stop(); }
  Epoch(const Epoch&) = delete;
  Epoch& operator=(const Epoch&) = delete;

  // The next batch, or nothing after the last. On a GPU the one after it is on its way already, if it is prepared.
  std::optional<Batch> next() {
    if (!ahead_ && taken_ == batches_) return std::nullopt;
    Slot slot = ahead_ ? *std::exchange(ahead_, std::nullopt) : on_device(take());
    if (options_.device.is_cuda() && is_ready()) ahead_ = on_device(take());
    if (slot.error) std::rethrow_exception(slot.error);
    return std::move(slot.batch);
  }

 private:
  struct Slot {
    Batch batch;
    std::exception_ptr error;
    bool full = false;
  };

  // Whether take() need not wait.
  bool is_ready() {
    if (workers_.empty() || taken_ == batches_) return false;
    const std::lock_guard lock(mutex_);
    return slots_[static_cast<std::size_t>(taken_) % slots_.size()].full;
  }

  Slot take() {
    Slot slot;
    if (workers_.empty()) {
      slot.batch = prepare(taken_++);
    } else {
      std::unique_lock lock(mutex_);
      Slot& shared = slots_[static_cast<std::size_t>(taken_) % slots_.size()];
      ready_.wait(lock, [&shared] { return shared.full; });
      slot = std::exchange(shared, {});
      ++taken_;
      space_.notify_all();
    }
    return slot;
  }

  Slot on_device(Slot slot) const {
    if (!slot.error) slot.batch = slot.batch.to(options_.device);
    return slot;
  }

  Batch prepare(std::int64_t number) const {
    const auto begin = static_cast<std::size_t>(number * options_.batch_size);
    const std::size_t count = std::min(static_cast<std::size_t>(options_.batch_size), positions_.size() - begin);
    Batch batch = dataset_->get_batch(std::span(positions_).subspan(begin, count));
    if (options_.augment) {
      std::vector<RandomKey> keys;
      for (std::size_t place = begin; place < begin + count; ++place)
        keys.push_back({.seed = options_.seed, .stream = stream_of("data.augment", number_, place)});
      options_.augment(batch, keys);
    }
    if (!options_.normalize.empty()) normalize_(batch.images, options_.normalize);
    return batch;
  }

  void work() {
    for (;;) {
      std::int64_t number = 0;
      {
        std::unique_lock lock(mutex_);
        space_.wait(lock, [this] {
          return stopped_ || started_ == batches_ || started_ < taken_ + static_cast<std::int64_t>(slots_.size());
        });
        if (stopped_ || started_ == batches_) return;
        number = started_++;
      }
      Slot slot;
      try {
        slot.batch = prepare(number);
      } catch (...) {
        slot.error = std::current_exception();
      }
      slot.full = true;
      {
        const std::lock_guard lock(mutex_);
        slots_[static_cast<std::size_t>(number) % slots_.size()] = std::move(slot);
      }
      ready_.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    space_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  DatasetPtr dataset_;
  LoaderOptions options_;
  std::uint64_t number_;
  std::int64_t batches_;
  std::vector<std::int64_t> positions_;
  std::mutex mutex_;
  std::condition_variable space_, ready_;
  std::vector<Slot> slots_;
  std::int64_t started_, taken_;
  bool stopped_ = false;
  std::optional<Slot> ahead_;
  std::vector<std::thread> workers_;
};

Loader::Iterator::Iterator(std::shared_ptr<Epoch> epoch) : epoch_(std::move(epoch)) { ++*this; }

Loader::Iterator& Loader::Iterator::operator++() {
  batch_ = {};  // its memory serves the next one
  if (std::optional<Batch> batch = epoch_->next()) batch_ = std::move(*batch);
  else epoch_.reset();
  return *this;
}

Loader::Loader(DatasetPtr dataset, LoaderOptions options) : dataset_(std::move(dataset)), options_(std::move(options)) {
  constexpr const char* kOp = "loader";
  check(dataset_ != nullptr, kOp, "expected a data set; got a null pointer");
  check(options_.batch_size >= 1, kOp, "expected batch_size >= 1; got {}", options_.batch_size);
  check(options_.workers >= 0 && options_.workers <= 256, kOp, "expected workers in [0, 256]; got {}", options_.workers);
  check(options_.prefetch >= 1, kOp, "expected prefetch >= 1; got {}", options_.prefetch);
  if (options_.sampler.positions) {
    check(!options_.shuffle, kOp, "expected shuffle or a sampler; got both");
  } else {
    options_.sampler = options_.shuffle ? shuffled_sampler(dataset_->size()) : sequential_sampler(dataset_->size());
  }
}

std::int64_t Loader::size() const {
  const std::int64_t whole = options_.sampler.size / options_.batch_size;
  return whole + (!options_.drop_last && options_.sampler.size % options_.batch_size != 0 ? 1 : 0);
}

void Loader::set_epoch(std::uint64_t epoch, std::int64_t after_batches) {
  check(after_batches >= 0 && after_batches <= size(), "loader", "expected to start after 0 to {} batches; got {}", size(),
        after_batches);
  epoch_ = epoch;
  after_batches_ = after_batches;
}

Loader::Iterator Loader::begin() {
  std::vector<std::int64_t> positions = options_.sampler.positions(options_.seed, epoch_);
  check(static_cast<std::int64_t>(positions.size()) == options_.sampler.size, "loader",
        "expected {} positions from the sampler; got {}", options_.sampler.size, positions.size());
  for (const std::int64_t position : positions)
    check(position >= 0 && position < dataset_->size(), "loader", "expected positions in [0, {}) from the sampler; got {}",
          dataset_->size(), position);
  return Iterator(
      std::make_shared<Epoch>(dataset_, options_, epoch_++, std::exchange(after_batches_, 0), size(), std::move(positions)));
}

}  // namespace heft::data
