// The cross entropy of a softmax over few classes, a pass each way. What it consists of (core/backend.cpp) is a dozen passes
// over numbers that fit a cache, and took a thirtieth of a step of LeNet-5.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/primitive.h"
#include "core/parallel.h"

namespace heft {
namespace {

// Beyond, oneDNN's softmax is ahead, which has the exponential in vectors.
constexpr std::int64_t kFewClasses = 128;
constexpr std::int64_t kGrain = 4096;  // logits that are worth a thread
constexpr auto kLowest = static_cast<float>(CrossEntropyResult::kLowest);
constexpr float kNone = -std::numeric_limits<float>::infinity();

using onednn::ours;

bool few(const Tensor& x) { return ours(x) && x.size(1) <= kFewClasses; }

// f(row) for all of `rows` rows of `classes`.
template <class F>
void for_each_row(std::int64_t rows, std::int64_t classes, F f) {
  parallel_for(rows, std::max<std::int64_t>(kGrain / classes, 1), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) f(row);
  });
}

}  // namespace

CrossEntropyResult CpuBackend::cross_entropy(const Tensor& logits, const Tensor& labels) {
  if (!few(logits)) return HostBackend::cross_entropy(logits, labels);
  const std::int64_t rows = logits.size(0), classes = logits.size(1), *label = labels.data<std::int64_t>();
  CrossEntropyResult result{Tensor::empty(Shape{rows}), Tensor::empty(logits.shape())};
  const float* x = logits.data<float>();
  float *losses = result.losses.mutable_data<float>(), *saved = result.saved.mutable_data<float>();
  for_each_row(rows, classes, [=](std::int64_t row) {
    const float* z = x + row * classes;
    float top = z[0];
    for (std::int64_t k = 1; k < classes; ++k) top = z[k] > top || z[k] != z[k] ? z[k] : top;
    top += top * 0.0F;  // an infinity makes the row NaN
    const auto clamped = [](float d) { return d < kLowest ? kLowest : d; };
    double total = 0;
    for (std::int64_t k = 0; k < classes; ++k) total += static_cast<double>(std::exp(clamped(z[k] - top)));
    const auto shift = static_cast<float>(std::log(total));
    for (std::int64_t k = 0; k < classes; ++k) {
      const float d = z[k] - top;
      saved[row * classes + k] = d < kLowest ? kNone : d - shift;
    }
    losses[row] = shift - clamped(z[label[row]] - top);  // never below 0: the sum is at least exp(0)
  });
  return result;
}

// exp(saved) is the softmax.
Tensor CpuBackend::cross_entropy_backward(const Tensor& saved, const Tensor& labels, const Tensor& dlosses) {
  if (!few(saved)) return HostBackend::cross_entropy_backward(saved, labels, dlosses);
  Tensor result = Tensor::empty(saved.shape());
  const std::int64_t classes = saved.size(1), *label = labels.data<std::int64_t>();
  const float *log_p = saved.data<float>(), *dloss = dlosses.data<float>();
  float* dx = result.mutable_data<float>();
  for_each_row(saved.size(0), classes, [=](std::int64_t row) {
    const std::int64_t first = row * classes;
    // A row of NaN has no gradient, nor has a loss that another backend has raised to 0.
    const float g = log_p[first + label[row]] <= 0 ? dloss[row] : 0;
    for (std::int64_t i = first; i < first + classes; ++i)
      dx[i] = log_p[i] > kNone ? std::exp(log_p[i]) * g - (i == first + label[row] ? g : 0) : 0;
  });
  return result;
}

}  // namespace heft
