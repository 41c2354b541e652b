#include "core/download.h"

#include "core/backend.h"

namespace heft {

Download::Download(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> there;
  for (const Tensor& x : tensors) {
    if (x.defined() && x.device().is_cuda()) {
      from_device_.push_back(values_.size());
      there.push_back(x.contiguous());
      values_.emplace_back();
    } else {
      values_.push_back(x.defined() ? x.clone() : x);
    }
  }
  if (!there.empty()) arrival_ = backend_for(there.front()).download(there);
}

std::vector<Tensor> Download::values() const {
  std::vector<Tensor> all = values_;
  if (!arrival_) return all;
  const std::vector<Tensor> arrived = arrival_();
  for (std::size_t i = 0; i < arrived.size(); ++i) all[from_device_[i]] = arrived[i];
  return all;
}

}  // namespace heft
