// Download: values of tensors on their way to the CPU.
#pragma once

#include <functional>
#include <vector>

#include "core/tensor.h"

namespace heft {

// What the tensors hold when it is made, in the order of the work of their devices: what is queued there afterwards may change
// them. Nothing waits for a GPU until the values are asked for, and what is asked for late enough is not waited for at all.
class Download {
 public:
  Download() = default;  // of nothing
  // An undefined tensor has its place, too. Throws DeviceError within a recording.
  explicit Download(const std::vector<Tensor>& tensors);
  // In the order given; row-major, on the CPU.
  std::vector<Tensor> values() const;

 private:
  std::vector<Tensor> values_;  // those that were on the CPU
  std::vector<std::size_t> from_device_;
  std::function<std::vector<Tensor>()> arrival_;
};

}  // namespace heft
