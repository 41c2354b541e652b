#include "core/host/host_backend.h"
#include "core/host/strided_loop.h"

namespace heft {

void HostBackend::sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& velocity, const SgdStep& step) {
  dispatch_float("sgd_step", parameter.dtype(), [&]<class T>() {
    T* p = static_cast<T*>(parameter.mutable_raw());
    const T* g = static_cast<const T*>(gradient.raw());
    T* v = velocity.defined() ? static_cast<T*>(velocity.mutable_raw()) : nullptr;
    const T lr = T(step.lr), momentum = T(step.momentum), fresh = T(1 - step.dampening), decay = T(step.weight_decay);
    const bool first = step.first, nesterov = step.nesterov;
    parallel_for(parameter.buffer_elements(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T d = g[i] + decay * p[i];
        if (v) {
          v[i] = first ? d : momentum * v[i] + fresh * d;
          d = nesterov ? d + momentum * v[i] : v[i];
        }
        p[i] -= lr * d;
      }
    });
  });
}

void HostBackend::adam_step(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
                            const AdamStep& step) {
  dispatch_float("adam_step", parameter.dtype(), [&]<class T>() {
    T* p = static_cast<T*>(parameter.mutable_raw());
    const T* g = static_cast<const T*>(gradient.raw());
    T* m = static_cast<T*>(first_moment.mutable_raw());
    T* v = static_cast<T*>(second_moment.mutable_raw());
    const double t = static_cast<double>(step.step);
    const T correction1 = T(1 - std::pow(step.beta1, t)), correction2 = T(std::sqrt(1 - std::pow(step.beta2, t)));
    const T beta1 = T(step.beta1), beta2 = T(step.beta2), lr = T(step.lr), eps = T(step.eps);
    const T coupled = step.decoupled ? T(0) : T(step.weight_decay),
            shrink = step.decoupled ? T(1 - step.lr * step.weight_decay) : T(1);
    parallel_for(parameter.buffer_elements(), kElementwiseGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T d = g[i] + coupled * p[i];
        m[i] = beta1 * m[i] + (T(1) - beta1) * d;
        v[i] = beta2 * v[i] + (T(1) - beta2) * d * d;
        p[i] = shrink * p[i] - lr / correction1 * m[i] / (std::sqrt(v[i]) / correction2 + eps);
      }
    });
  });
}

}  // namespace heft
