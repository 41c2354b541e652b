// Dataset: numbered images with labels. Everything that changes a data set (a subset, another order, a function on each
// sample) is a small Dataset around another one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace heft::data {

struct Sample {
  Tensor image;  // f32, the same shape for all samples of a set, e.g. (C, H, W)
  std::int64_t label = 0;
  // Which image of the underlying source this is. Decorators keep it, whatever position the sample has in them, so that
  // what a method remembers about a sample (a weight, a loss) finds it again across subsets and orders.
  std::int64_t index = 0;
  std::int64_t group = -1;        // of a group-robust method; -1: none
  std::int64_t clean_label = -1;  // the label before noise was put on it; -1: unknown
};

// Samples together, and what the training loop receives.
struct Batch {
  Tensor images = {};        // f32 (N, ...)
  Tensor labels = {};        // i64 (N)
  Tensor indices = {};       // i64 (N): Sample::index
  Tensor groups = {};        // i64 (N), undefined where no sample has one
  Tensor clean_labels = {};  // i64 (N), undefined where no sample has one
  // Of images mixed with others (data/mixup.h), undefined elsewhere.
  Tensor partner_labels = {};  // i64 (N): of the other image
  Tensor own_share = {};       // f32 (N) in [0, 1]: of the image that labels, indices, ... are about
  std::int64_t size() const { return labels.defined() ? labels.numel() : 0; }
  Batch to(Device device) const;
};

// Immutable; get, get_batch, labels and indices are called from several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  // The sample at `position`, 0 <= position < size(). Throws ShapeError outside.
  virtual Sample get(std::int64_t position) const = 0;
  // Labels lie in [0, classes()).
  virtual std::int64_t classes() const = 0;
  // Every Sample::index lies in [0, source_size()): the length of an array with one entry per sample.
  virtual std::int64_t source_size() const { return size(); }
  // One per class, or empty.
  virtual std::vector<std::string> class_names() const { return {}; }
  // The labels by position. Fetches every sample unless overridden.
  virtual std::vector<std::int64_t> labels() const;
  // Sample::index by position. Fetches every sample unless overridden.
  virtual std::vector<std::int64_t> indices() const;
  // The samples at `positions`, images stacked, in tensors nobody else holds. Built on get() unless overridden: then a
  // sample that cannot be fetched, or has another image shape than the first, is a DataError that names its position
  // in the set whose get() it was.
  virtual Batch get_batch(std::span<const std::int64_t> positions) const;
};
using DatasetPtr = std::shared_ptr<const Dataset>;

// Samples per class: classes() numbers.
std::vector<std::int64_t> class_counts(const DatasetPtr& dataset);

// ---- decorators. A null data set is a ValueError.

// The samples at `positions` of `dataset`, in that order; one may appear several times. Throws ShapeError naming the
// first position out of range.
DatasetPtr subset(DatasetPtr dataset, std::vector<std::int64_t> positions);
// All samples in an order that depends on the seed alone. (A Loader that shuffles has a new order every epoch.)
DatasetPtr shuffled(DatasetPtr dataset, std::uint64_t seed = 0);
// Each sample passed through `function`, every time it is fetched and possibly in several threads at once: it must be a
// pure function of the sample.
DatasetPtr map(DatasetPtr dataset, std::function<Sample(Sample)> function);
// The parts one after another, as one new source: the indices of part k start where part k - 1's source_size() ends.
// Class names are the first part's. Throws ValueError unless there is a part and all have as many classes.
DatasetPtr concat(std::vector<DatasetPtr> parts);

// ---- data in memory

struct MemoryOptions {
  std::int64_t classes = 0;  // 0: the largest label plus 1
  std::vector<std::string> class_names = {};
  Tensor groups = {};        // i64 (N), optional
  Tensor clean_labels = {};  // i64 (N), optional
};

// The user's own tensors: images (N, ...), e.g. (N, C, H, W), of u8 (fetched as f32 divided by 255) or f32 (fetched as
// they are); labels i64 (N). Image storage is shared, not copied. Throws ShapeError, DTypeError, or DataError naming the
// first sample whose label is outside [0, classes).
DatasetPtr memory_dataset(const Tensor& images, const Tensor& labels, const MemoryOptions& options = {});

// Two IDX files (data/idx.h), plain or gzip: images (N, H, W), fetched as f32 (1, H, W) in [0, 1], and labels (N).
DatasetPtr idx_dataset(const std::string& images_path, const std::string& labels_path, const MemoryOptions& options = {});

}  // namespace heft::data
