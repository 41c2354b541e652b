// Optimizer updates; formulas in optim/sgd.h and optim/adam.h.
#include <cmath>

#include "cuda/cuda_backend.h"
#include "cuda/launch.cuh"

namespace heft {
namespace {

template <class T>
void sgd(Tensor& parameter, const Tensor& gradient, Tensor& velocity, const SgdStep& step) {
  T* p = cuda::values<T>(parameter);
  const T* g = cuda::values<T>(gradient);
  T* v = velocity.defined() ? cuda::values<T>(velocity) : nullptr;
  const T lr = T(step.lr), momentum = T(step.momentum), fresh = T(1 - step.dampening), decay = T(step.weight_decay);
  const bool first = step.first, nesterov = step.nesterov;
  cuda::for_each("sgd_step", parameter.buffer_elements(), [=] __device__(std::int64_t i) {
    T d = g[i] + decay * p[i];
    if (v) {
      v[i] = first ? d : momentum * v[i] + fresh * d;
      d = nesterov ? d + momentum * v[i] : v[i];
    }
    p[i] -= lr * d;
  });
}

template <class T>
void adam(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment, const AdamStep& step) {
  T* p = cuda::values<T>(parameter);
  const T* g = cuda::values<T>(gradient);
  T *m = cuda::values<T>(first_moment), *v = cuda::values<T>(second_moment);
  const double t = static_cast<double>(step.step);
  const T correction1 = T(1 - std::pow(step.beta1, t)), correction2 = T(std::sqrt(1 - std::pow(step.beta2, t)));
  const T beta1 = T(step.beta1), beta2 = T(step.beta2), lr = T(step.lr), eps = T(step.eps);
  const T coupled = step.decoupled ? T(0) : T(step.weight_decay),
          shrink = step.decoupled ? T(1 - step.lr * step.weight_decay) : T(1);
  cuda::for_each("adam_step", parameter.buffer_elements(), [=] __device__(std::int64_t i) {
    const T d = g[i] + coupled * p[i];
    m[i] = beta1 * m[i] + (T(1) - beta1) * d;
    v[i] = beta2 * v[i] + (T(1) - beta2) * d * d;
    p[i] = shrink * p[i] - lr / correction1 * m[i] / (std::sqrt(v[i]) / correction2 + eps);
  });
}

}  // namespace

void CudaBackend::sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& velocity, const SgdStep& step) {
  dispatch_float("sgd_step", parameter.dtype(), [&]<class T>() { sgd<T>(parameter, gradient, velocity, step); });
}

void CudaBackend::adam_step(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
                            const AdamStep& step) {
  dispatch_float("adam_step", parameter.dtype(),
                 [&]<class T>() { adam<T>(parameter, gradient, first_moment, second_moment, step); });
}

}  // namespace heft
