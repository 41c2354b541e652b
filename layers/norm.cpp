#include "layers/norm.h"

#include <cmath>

#include "autograd/elementwise.h"
#include "autograd/norm.h"
#include "core/check.h"
#include "layers/conv.h"

namespace heft {

BatchNorm2d::BatchNorm2d(const Options& options)
    : options_(options),
      weight_((check(options.channels >= 1, "BatchNorm2d", "expected channels >= 1; got {}", options.channels),
               register_parameter("weight", Tensor::ones({options.channels})))),
      bias_(register_parameter("bias", Tensor::zeros({options.channels}))),
      running_mean_(register_buffer("running_mean", Tensor::zeros({options.channels}))),
      running_variance_(register_buffer("running_var", Tensor::ones({options.channels}))),
      batches_(register_buffer("num_batches_tracked", Tensor::zeros({}, DType::i64))) {
  check(options.momentum >= 0 && options.momentum <= 1, "BatchNorm2d", "expected momentum in [0, 1]; got {}", options.momentum);
  check(options.eps > 0 && std::isfinite(options.eps), "BatchNorm2d", "expected a finite eps > 0; got {}", options.eps);
}

Variable BatchNorm2d::forward(const Variable& x) {
  Variable y = batch_norm(x, weight_, bias_, running_mean_, running_variance_, training(), options_.momentum, options_.eps);
  if (training()) ++*batches_.mutable_data<std::int64_t>();
  return y;
}

Variable BatchNorm2d::forward_relu(const Variable& x, const Variable& residual) {
  if (ForwardObserver::active()) {
    const Variable y = (*this)(x);
    return relu(residual.defined() ? y + residual : y);
  }
  Variable y = batch_norm_relu(x, weight_, bias_, running_mean_, running_variance_, training(), residual, options_.momentum,
                               options_.eps);
  if (training()) ++*batches_.mutable_data<std::int64_t>();
  return y;
}

Variable BatchNorm2d::forward_relu(Conv2d& convolution, const Variable& x, const Variable& residual) {
  if (training() || ForwardObserver::active() || convolution.bias().defined()) return forward_relu(convolution(x), residual);
  return conv2d_batch_norm_relu(x, convolution.weight(), convolution.geometry(), weight_, bias_, running_mean_,
                                running_variance_, residual, options_.eps);
}

std::string BatchNorm2d::describe() const { return fmt::format("BatchNorm2d({})", options_.channels); }

LayerNorm::LayerNorm(const Options& options) : options_(options) {
  check(options.features >= 1, "LayerNorm", "expected features >= 1; got {}", options.features);
  check(options.eps > 0 && std::isfinite(options.eps), "LayerNorm", "expected a finite eps > 0; got {}", options.eps);
  if (!options.affine) return;
  weight_ = register_parameter("weight", Tensor::ones({options.features}));
  bias_ = register_parameter("bias", Tensor::zeros({options.features}));
}

Variable LayerNorm::forward(const Variable& x) {
  check<ShapeError>(x.rank() >= 1 && x.size(-1) == options_.features, "LayerNorm", "expected a last axis of {}; got shape {}",
                    options_.features, x.shape());
  return layer_norm(x, weight_, bias_, options_.eps);
}

std::string LayerNorm::describe() const {
  return fmt::format("LayerNorm({}{})", options_.features, options_.affine ? "" : ", not affine");
}

}  // namespace heft
