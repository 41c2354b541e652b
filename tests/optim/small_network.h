// A network of two linear layers with deterministic weights and batches: those of tests/golden/make_trajectories.py.
#pragma once

#include <cmath>
#include <vector>

#include "autograd/elementwise.h"
#include "autograd/linalg.h"
#include "layers/losses.h"

namespace heft::test {

constexpr std::int64_t kInputs = 3, kHidden = 4, kClasses = 3, kBatch = 8;

struct SmallNetwork {
  explicit SmallNetwork(DType dtype, Device device = Device::cpu()) : dtype(dtype), device(device) {
    std::int64_t k = 0;
    for (const Shape& shape : {Shape{kHidden, kInputs}, Shape{kHidden}, Shape{kClasses, kHidden}, Shape{kClasses}}) {
      std::vector<double> values;
      for (std::int64_t i = 0; i < shape.numel(); ++i) values.push_back(0.8 * std::sin(static_cast<double>(++k)));
      parameters.emplace_back(Tensor::from(values, shape).astype(dtype).to(device), true);
    }
  }
  Variable losses(int step) const {
    const std::int64_t n = step == 6 ? 3 : step == 13 ? 5 : step == 19 ? 1 : kBatch;
    std::vector<double> x;
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < kInputs; ++j)
        x.push_back(std::sin(1 + 0.7 * step + 1.3 * static_cast<double>(i) + 2.1 * static_cast<double>(j)));
      labels.push_back((i * i + step) % kClasses);
    }
    const Tensor inputs = Tensor::from(x, Shape{n, kInputs}).astype(dtype).to(device);
    const Variable hidden = tanh(linear(inputs, parameters[0], parameters[1]));
    return cross_entropy(linear(hidden, parameters[2], parameters[3]), Tensor::from(labels).to(device));
  }
  std::vector<double> flat() const {
    std::vector<double> all;
    for (const Variable& parameter : parameters) {
      const std::vector<double> part = parameter.value().to_vector<double>();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  DType dtype;
  Device device;
  std::vector<Variable> parameters;
};

}  // namespace heft::test
