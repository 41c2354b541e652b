#include "layers/init.h"

#include "autograd/norm.h"
#include "core/check.h"
#include "core/random.h"

namespace heft::init {
namespace {

thread_local bool skipping = false;

// One zero under every index.
Tensor no_values(const Shape& shape, DType dtype) { return Tensor::zeros(Shape{}, dtype).expand(shape); }

// The target deviation; a uniform in +-sqrt(3) deviation has it too.
double kaiming_deviation(const Shape& shape, const KaimingOptions& options, const char* op) {
  check(std::isfinite(options.slope), op, "expected a finite slope; got {}", options.slope);
  const Fan f = fan(shape);
  const auto n = static_cast<double>(options.mode == FanMode::in ? f.in : f.out);
  return std::sqrt(2 / (1 + options.slope * options.slope)) / std::sqrt(n);
}

double xavier_deviation(const Shape& shape, const XavierOptions& options, const char* op) {
  check(options.gain > 0 && std::isfinite(options.gain), op, "expected a finite gain > 0; got {}", options.gain);
  const Fan f = fan(shape);
  return options.gain * std::sqrt(2 / static_cast<double>(f.in + f.out));
}

Tensor symmetric_uniform(const Shape& shape, double bound, DType dtype) { return uniform(shape, -bound, bound, dtype); }

}  // namespace

Fan fan(const Shape& weight) {
  check<ShapeError>(weight.rank() >= 2, "fan", "expected a weight (out, in, ...); got shape {}", weight);
  check<ShapeError>(weight.numel() > 0, "fan", "expected a weight that is not empty; got shape {}", weight);
  const std::int64_t field = weight.product(2, weight.rank());
  return {.in = weight[1] * field, .out = weight[0] * field};
}

Tensor kaiming_normal(const Shape& shape, const KaimingOptions& options) {
  return normal(shape, 0, kaiming_deviation(shape, options, "kaiming_normal"), options.dtype);
}
Tensor kaiming_uniform(const Shape& shape, const KaimingOptions& options) {
  return symmetric_uniform(shape, std::sqrt(3.0) * kaiming_deviation(shape, options, "kaiming_uniform"), options.dtype);
}
Tensor xavier_normal(const Shape& shape, const XavierOptions& options) {
  return normal(shape, 0, xavier_deviation(shape, options, "xavier_normal"), options.dtype);
}
Tensor xavier_uniform(const Shape& shape, const XavierOptions& options) {
  return symmetric_uniform(shape, std::sqrt(3.0) * xavier_deviation(shape, options, "xavier_uniform"), options.dtype);
}

Tensor normal(const Shape& shape, double mean, double deviation, DType dtype) {
  check(std::isfinite(mean) && deviation >= 0 && std::isfinite(deviation), "normal",
        "expected a finite mean and a finite deviation >= 0; got {} and {}", mean, deviation);
  return skipping ? no_values(shape, dtype) : random_normal(shape, mean, deviation, dtype);
}
Tensor uniform(const Shape& shape, double low, double high, DType dtype) {
  check(std::isfinite(low) && std::isfinite(high) && low <= high, "uniform", "expected finite low <= high; got {} and {}", low,
        high);
  return skipping ? no_values(shape, dtype) : random_uniform(shape, low, high, dtype);
}
Tensor constant(const Shape& shape, double value, DType dtype) {
  return skipping ? no_values(shape, dtype) : Tensor::full(shape, value, dtype);
}

Tensor default_weight(const Shape& shape) { return kaiming_uniform(shape, {.slope = std::sqrt(5.0)}); }
Tensor default_bias(std::int64_t size, std::int64_t fan_in) {
  return symmetric_uniform({size}, 1 / std::sqrt(static_cast<double>(fan_in)), DType::f32);
}
Tensor unit_rows(const Shape& shape) {
  const Tensor start = uniform(shape, -1, 1);
  return skipping ? start : l2_normalize(start).value();
}

Skip::Skip() : outer_(skipping) { skipping = true; }
Skip::~Skip() { skipping = outer_; }

}  // namespace heft::init
