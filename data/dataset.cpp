#include "data/dataset.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "core/backend.h"
#include "core/check.h"

namespace heft::data {

Batch Batch::to(Device device) const {
  Batch there = *this;
  std::vector<Tensor*> from_host;  // to a GPU they go together, beside whatever is queued there
  std::vector<Tensor> tensors;
  for (Tensor* x : {&there.images, &there.labels, &there.indices, &there.groups, &there.clean_labels, &there.partner_labels,
                    &there.own_share}) {
    if (!x->defined()) continue;
    if (device.is_cuda() && x->device().is_cpu() && x->numel() > 0) {
      from_host.push_back(x);
      tensors.push_back(x->contiguous());
    } else {
      *x = x->to(device);
    }
  }
  if (from_host.empty()) return there;
  const std::vector<Tensor> uploaded = backend_for(device, DType::f32).upload(tensors);
  for (std::size_t i = 0; i < uploaded.size(); ++i) *from_host[i] = uploaded[i];
  return there;
}

std::vector<std::int64_t> Dataset::labels() const {
  std::vector<std::int64_t> out(static_cast<std::size_t>(size()));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = get(static_cast<std::int64_t>(i)).label;
  return out;
}

std::vector<std::int64_t> Dataset::indices() const {
  std::vector<std::int64_t> out(static_cast<std::size_t>(size()));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = get(static_cast<std::int64_t>(i)).index;
  return out;
}

namespace {

Sample fetch(const Dataset& dataset, std::int64_t position) {
  try {
    return dataset.get(position);
  } catch (const std::exception& error) {
    fail<DataError>("get_batch", "sample {} of the data set cannot be fetched; {}", position, error.what());
  }
}

// `values` as a tensor, or undefined where all are -1.
Tensor optional_column(const std::vector<std::int64_t>& values) {
  const bool any = std::any_of(values.begin(), values.end(), [](std::int64_t value) { return value != -1; });
  return any ? Tensor::from(values) : Tensor();
}

}  // namespace

Batch Dataset::get_batch(std::span<const std::int64_t> positions) const {
  const auto n = static_cast<std::int64_t>(positions.size());
  Batch batch;
  Shape shape;
  std::vector<std::int64_t> labels, indices, groups, clean_labels;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t position = positions[static_cast<std::size_t>(i)];
    const Sample sample = fetch(*this, position);
    check<DataError>(sample.image.defined() && sample.image.dtype() == DType::f32 && sample.image.device().is_cpu(),
                     "get_batch", "expected an f32 image on the CPU; sample {} has none", position);
    if (i == 0) {
      shape = sample.image.shape();
      batch.images = Tensor::empty(shape.inserted(0, n));
    }
    check<DataError>(sample.image.shape() == shape, "get_batch", "expected images of one shape, {}; sample {} has {}", shape,
                     position, sample.image.shape());
    std::copy_n(sample.image.contiguous().data<float>(), shape.numel(), batch.images.mutable_data<float>() + i * shape.numel());
    labels.push_back(sample.label);
    indices.push_back(sample.index);
    groups.push_back(sample.group);
    clean_labels.push_back(sample.clean_label);
  }
  batch.labels = Tensor::from(labels);
  batch.indices = Tensor::from(indices);
  batch.groups = optional_column(groups);
  batch.clean_labels = optional_column(clean_labels);
  return batch;
}

std::vector<std::int64_t> class_counts(const DatasetPtr& dataset) {
  check(dataset != nullptr, "class_counts", "expected a data set; got a null pointer");
  std::vector<std::int64_t> counts(static_cast<std::size_t>(dataset->classes()));
  const std::vector<std::int64_t> labels = dataset->labels();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    check<DataError>(labels[i] >= 0 && labels[i] < dataset->classes(), "class_counts",
                     "expected labels in [0, {}); sample {} has {}", dataset->classes(), i, labels[i]);
    ++counts[static_cast<std::size_t>(labels[i])];
  }
  return counts;
}

}  // namespace heft::data
