// Loader: a data set in batches, prepared ahead by threads of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>

#include "core/device.h"
#include "data/augment.h"
#include "data/dataset.h"
#include "data/normalize.h"
#include "data/sampler.h"

namespace heft::data {

struct LoaderOptions {
  std::int64_t batch_size = 128;
  bool shuffle = false;           // a new order every epoch; otherwise the data set's own
  std::uint64_t seed = 0;         // of the shuffle or the sampler
  int workers = 1;                // threads that prepare batches ahead; 0: the caller's thread does it
  bool drop_last = false;         // leave out a last batch that is not full
  Device device = Device::cpu();  // where the batches are delivered
  Augmentation augment = {};      // random changes, before normalize: data/augment.h; empty: none
  Normalization normalize = {};   // e.g. {{0.286}, {0.353}}; empty: none
  Sampler sampler = {};           // instead of shuffle
  int prefetch = 4;               // batches prepared ahead at most
};

//   for (const Batch& batch : loader) ...
// Each begin() starts epoch number epoch() and counts it up, so one loop is one epoch. Order and contents are functions of
// (data set, options, epoch) and do not depend on workers or prefetch. A sample is augmented with random numbers of its own
// that depend on (seed, epoch, its place in the epoch's order), so that one that is drawn twice is changed twice. Worker
// threads run plain loops: they take no cores from OpenMP beyond their own. Leaving the loop early stops and joins them. What
// goes wrong while a batch is prepared is thrown where that batch would have been delivered.
class Loader {
 public:
  class Epoch;  // the threads and the queue of one pass

  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(std::shared_ptr<Epoch> epoch);
    const Batch& operator*() const { return batch_; }
    const Batch* operator->() const { return &batch_; }
    Iterator& operator++();
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& it, std::default_sentinel_t) { return it.epoch_ == nullptr; }

   private:
    std::shared_ptr<Epoch> epoch_;  // null: the end
    Batch batch_;
  };

  // Throws ValueError naming the option outside its domain.
  explicit Loader(DatasetPtr dataset, LoaderOptions options = {});

  // Throws ValueError where a sampler does not keep its promise.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

  // Batches per epoch.
  std::int64_t size() const;
  // The number of the epoch that the next begin() starts; 0 at first. Set it to resume a run, within an epoch after so many of
  // its batches, which are not prepared; the epoch after that has all of its own. Throws ValueError for more than size().
  std::uint64_t epoch() const { return epoch_; }
  void set_epoch(std::uint64_t epoch, std::int64_t after_batches = 0);
  const DatasetPtr& dataset() const { return dataset_; }
  const LoaderOptions& options() const { return options_; }

 private:
  DatasetPtr dataset_;
  LoaderOptions options_;
  std::uint64_t epoch_ = 0;
  std::int64_t after_batches_ = 0;
};

}  // namespace heft::data
