#include <algorithm>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "data/dataset.h"
#include "data/idx.h"

namespace heft::data {

namespace {

constexpr const char* kOp = "memory_dataset";

std::vector<std::int64_t> column(const Tensor& values, const char* what, std::int64_t n) {
  if (!values.defined()) return {};
  check<DTypeError>(values.dtype() == DType::i64, kOp, "expected {} of dtype i64; got {}", what, values.dtype());
  check<ShapeError>(values.shape() == Shape{n}, kOp, "expected {} of shape ({}), one per image; got {}", what, n,
                    values.shape());
  return values.to_vector<std::int64_t>();
}

class MemoryDataset : public Dataset {
 public:
  MemoryDataset(const Tensor& images, const Tensor& labels, const MemoryOptions& options) : names_(options.class_names) {
    check(images.defined() && labels.defined(), kOp, "expected images and labels; got an undefined tensor");
    check<ShapeError>(images.rank() >= 1, kOp, "expected images of shape (N, ...); got {}", images.shape());
    check<DTypeError>(images.dtype() == DType::u8 || images.dtype() == DType::f32, kOp,
                      "expected images of dtype u8 or f32; got {}", images.dtype());
    images_ = images.to(Device::cpu()).contiguous();
    image_shape_ = images.shape().without(0);
    const std::int64_t n = images.shape()[0];
    labels_ = column(labels, "labels", n);
    groups_ = column(options.groups, "groups", n);
    clean_labels_ = column(options.clean_labels, "clean_labels", n);
    classes_ = options.classes;
    if (classes_ == 0)
      for (const std::int64_t label : labels_) classes_ = std::max(classes_, label + 1);
    check(classes_ >= 0, kOp, "expected classes >= 0; got {}", classes_);
    check(names_.empty() || static_cast<std::int64_t>(names_.size()) == classes_, kOp,
          "expected one class name per class, {}; got {}", classes_, names_.size());
    for (std::size_t i = 0; i < labels_.size(); ++i)
      check<DataError>(labels_[i] >= 0 && labels_[i] < classes_, kOp, "expected labels in [0, {}); sample {} has {}", classes_,
                       i, labels_[i]);
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t classes() const override { return classes_; }
  std::vector<std::string> class_names() const override { return names_; }
  std::vector<std::int64_t> labels() const override { return labels_; }
  std::vector<std::int64_t> indices() const override {
    std::vector<std::int64_t> out(labels_.size());
    std::iota(out.begin(), out.end(), 0);
    return out;
  }

  Sample get(std::int64_t position) const override {
    check_position(position);
    Sample sample{.image = Tensor::empty(image_shape_), .index = position};
    copy_image(position, sample.image.mutable_data<float>());
    const auto i = static_cast<std::size_t>(position);
    sample.label = labels_[i];
    if (!groups_.empty()) sample.group = groups_[i];
    if (!clean_labels_.empty()) sample.clean_label = clean_labels_[i];
    return sample;
  }

  // Without a tensor per sample: LeNet-5 takes about 10,000 images a second.
  Batch get_batch(std::span<const std::int64_t> positions) const override {
    const auto n = static_cast<std::int64_t>(positions.size());
    Batch batch{.images = Tensor::empty(image_shape_.inserted(0, n)),
                .labels = gather(labels_, positions),
                .indices = Tensor::empty({n}, DType::i64),
                .groups = gather(groups_, positions),
                .clean_labels = gather(clean_labels_, positions)};
    std::copy(positions.begin(), positions.end(), batch.indices.mutable_data<std::int64_t>());
    float* to = batch.images.mutable_data<float>();
    for (const std::int64_t position : positions) {
      copy_image(position, to);
      to += image_shape_.numel();
    }
    return batch;
  }

 private:
  void check_position(std::int64_t position) const {
    check<ShapeError>(position >= 0 && position < size(), kOp, "expected a position in [0, {}); got {}", size(), position);
  }

  void copy_image(std::int64_t position, float* to) const {
    const std::int64_t n = image_shape_.numel();
    if (images_.dtype() == DType::f32) {
      std::copy_n(images_.data<float>() + position * n, n, to);
    } else {
      const std::uint8_t* from = images_.data<std::uint8_t>() + position * n;
      for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]) / 255.0f;
    }
  }

  Tensor gather(const std::vector<std::int64_t>& values, std::span<const std::int64_t> positions) const {
    for (const std::int64_t position : positions) check_position(position);
    if (values.empty() && !positions.empty()) return {};
    Tensor out = Tensor::empty({static_cast<std::int64_t>(positions.size())}, DType::i64);
    std::int64_t* to = out.mutable_data<std::int64_t>();
    for (const std::int64_t position : positions) *to++ = values[static_cast<std::size_t>(position)];
    return out;
  }

  Tensor images_;  // u8 stays u8: a quarter of the memory
  Shape image_shape_;
  std::vector<std::int64_t> labels_, groups_, clean_labels_;
  std::int64_t classes_ = 0;
  std::vector<std::string> names_;
};

}  // namespace

DatasetPtr memory_dataset(const Tensor& images, const Tensor& labels, const MemoryOptions& options) {
  return std::make_shared<MemoryDataset>(images, labels, options);
}

DatasetPtr idx_dataset(const std::string& images_path, const std::string& labels_path, const MemoryOptions& options) {
  const Tensor images = read_idx(images_path);
  const Tensor labels = read_idx(labels_path);
  check<DataError>(images.rank() == 3, "idx_dataset", "expected images of shape (N, H, W); {} holds {}", images_path,
                   images.shape());
  check<DataError>(labels.rank() == 1 && labels.size(0) == images.size(0), "idx_dataset",
                   "expected one label per image, ({}); {} holds {}", images.size(0), labels_path, labels.shape());
  return memory_dataset(images.unsqueeze(1), labels.astype(DType::i64), options);
}

}  // namespace heft::data
