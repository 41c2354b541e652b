// First values of parameters. Numbers come from next_random_key(), so manual_seed() repeats them. All tensors are on the
// CPU. Give a parameter other values with parameter.set_value(init::kaiming_normal(parameter.shape())) before to(device).
#pragma once

#include <cmath>
#include <cstdint>

#include "core/tensor.h"

namespace heft::init {

// How many numbers enter one output, and how many outputs one input enters; of a weight (out, in, ...): the receptive
// field (the product of the axes after the second) times `in`, and times `out`. Throws ShapeError below rank 2.
struct Fan {
  std::int64_t in = 0;
  std::int64_t out = 0;
};
Fan fan(const Shape& weight);

enum class FanMode : std::uint8_t { in, out };
struct KaimingOptions {
  double slope = 0;            // of the leaky ReLU that follows; gain = sqrt(2 / (1 + slope^2))
  FanMode mode = FanMode::in;  // in keeps the variance of activations, out that of gradients
  DType dtype = DType::f32;
};
// He et al. 2015, "Delving deep into rectifiers": normal with deviation gain / sqrt(fan), uniform in
// +-gain sqrt(3 / fan). Throws ValueError unless slope is finite.
Tensor kaiming_normal(const Shape& shape, const KaimingOptions& options = {});
Tensor kaiming_uniform(const Shape& shape, const KaimingOptions& options = {});

struct XavierOptions {
  double gain = 1;
  DType dtype = DType::f32;
};
// Glorot and Bengio 2010: normal with deviation gain sqrt(2 / (in + out)), uniform in +-gain sqrt(6 / (in + out)).
// Throws ValueError unless gain > 0 and finite.
Tensor xavier_normal(const Shape& shape, const XavierOptions& options = {});
Tensor xavier_uniform(const Shape& shape, const XavierOptions& options = {});

// Throw ValueError unless deviation >= 0, low <= high.
Tensor normal(const Shape& shape, double mean = 0, double deviation = 1, DType dtype = DType::f32);
Tensor uniform(const Shape& shape, double low, double high, DType dtype = DType::f32);
Tensor constant(const Shape& shape, double value, DType dtype = DType::f32);

// What Linear and Conv2d start from (PyTorch's default): weight kaiming_uniform with slope sqrt(5), that is uniform in
// +-1 / sqrt(fan in), and bias in the same bounds.
Tensor default_weight(const Shape& shape);
Tensor default_bias(std::int64_t size, std::int64_t fan_in);
// What NormedLinear starts from: uniform in (-1, 1), then rows of length 1.
Tensor unit_rows(const Shape& shape);

// While one lives, all of the above return zeros that take no memory and draw no random numbers, on this thread: for a network
// whose values are loaded next. Whoever loads them replaces all (load_state, strict), or writes into one shared zero.
class Skip {
 public:
  Skip();
  ~Skip();
  Skip(const Skip&) = delete;
  Skip& operator=(const Skip&) = delete;

 private:
  bool outer_;
};

}  // namespace heft::init
