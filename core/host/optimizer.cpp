// Optimizer updates. Their loops have what they read by value and no choices inside, so that the compiler makes vectors of
// them.
#include <algorithm>

#include "core/host/host_backend.h"
#include "core/host/strided_loop.h"

namespace heft {
namespace {

template <class T>
struct Sgd {
  T lr, momentum, fresh, decay, scale;

  void plain(T* __restrict p, const T* __restrict g, std::int64_t n) const {
    const T rate = lr, shrink = decay, factor = scale;
    for (std::int64_t i = 0; i < n; ++i) p[i] -= rate * (factor * g[i] + shrink * p[i]);
  }

  // `first`: the velocity begins as the gradient, whatever it holds.
  template <bool first, bool nesterov>
  void with_momentum(T* __restrict p, const T* __restrict g, T* __restrict v, std::int64_t n) const {
    const T rate = lr, kept = momentum, added = fresh, shrink = decay, factor = scale;
    for (std::int64_t i = 0; i < n; ++i) {
      const T d = factor * g[i] + shrink * p[i], velocity = first ? d : kept * v[i] + added * d;
      v[i] = velocity;
      p[i] -= rate * (nesterov ? d + kept * velocity : velocity);
    }
  }
};

// What a step reads and writes of one parameter.
struct Span {
  Span(Tensor& parameter, const Tensor& gradient, Tensor& velocity, const SgdStep& how, double factor = 1)
      : dtype(parameter.dtype()),
        n(parameter.buffer_elements()),
        step(how),
        scale(factor),
        p(parameter.mutable_raw()),
        g(gradient.raw()),
        v(velocity.defined() ? velocity.mutable_raw() : nullptr) {}

  void run(std::int64_t begin, std::int64_t end) const {
    dispatch_float("sgd_step", dtype, [&]<class T>() {
      const Sgd<T> sgd{T(step.lr), T(step.momentum), T(1 - step.dampening), T(step.weight_decay), T(scale)};
      const auto with_momentum =
          step.first
              ? (step.nesterov ? &Sgd<T>::template with_momentum<true, true> : &Sgd<T>::template with_momentum<true, false>)
              : (step.nesterov ? &Sgd<T>::template with_momentum<false, true> : &Sgd<T>::template with_momentum<false, false>);
      T* at = static_cast<T*>(p) + begin;
      const T* gradient = static_cast<const T*>(g) + begin;
      if (v) (sgd.*with_momentum)(at, gradient, static_cast<T*>(v) + begin, end - begin);
      else sgd.plain(at, gradient, end - begin);
    });
  }

  DType dtype;
  std::int64_t n;
  SgdStep step;
  double scale;  // of the gradient
  void* p;
  const void* g;
  void* v;
};

}  // namespace

void HostBackend::sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& velocity, const SgdStep& step) {
  const Span span(parameter, gradient, velocity, step);
  parallel_for(span.n, kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) { span.run(begin, end); });
}

// One loop over the elements of all, since most parameters are too small to wake threads for.
void HostBackend::sgd_steps(std::vector<SgdTarget>& targets, const SgdStep& step, const Tensor& factors, const Tensor& hold) {
  if (hold.defined()) return Backend::sgd_steps(targets, step, factors, hold);
  const double* factor = factors.data<double>();
  if (factor[0] == 0) return;
  std::vector<Span> spans;
  spans.reserve(targets.size());
  std::int64_t total = 0;
  for (SgdTarget& target : targets) {
    SgdStep one = step;
    one.lr = factor[1 + target.group], one.weight_decay = target.weight_decay, one.first = target.first;
    total += spans.emplace_back(target.parameter, target.gradient, target.velocity, one, factor[0]).n;
  }
  parallel_for(total, kElementwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for (const Span& span : spans) {
      if (begin < span.n && end > 0) span.run(std::max<std::int64_t>(begin, 0), std::min(end, span.n));
      begin -= span.n, end -= span.n;
    }
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
