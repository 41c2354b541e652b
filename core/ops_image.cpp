#include <algorithm>

#include "core/op_support.h"
#include "core/ops.h"

namespace heft {
namespace {

void check_images(const char* op, const Tensor& x) {
  check_defined(op, x);
  if (!is_floating(x.dtype())) throw_dtype(op, "f32 or f64", x.dtype());
  check<ShapeError>(x.rank() == 4, op, "expected images of shape (N, C, H, W); got {}", x.shape());
  check<ShapeError>(x.numel() > 0, op, "expected at least one element; got {}", x.shape());
}

void check_gradient(const char* op, const Tensor& dy, const Shape& expected) {
  check_defined(op, dy);
  check<ShapeError>(dy.shape() == expected, op, "expected a gradient of shape {}; got {}", expected, dy.shape());
}

// p beside images like x of that shape.
void check_per_channel(const char* op, const char* what, const Tensor& x, const Shape& shape, const Tensor& p) {
  check_operands(op, x, p);
  check<ShapeError>(p.shape() == Shape{shape[1]}, op, "expected {} of shape ({},) for input {}; got {}", what, shape[1], shape,
                    p.shape());
}

}  // namespace

Shape conv2d_shape(const Shape& x, const Shape& weight, const Conv2dGeometry& g) {
  const char* op = "conv2d";
  check<ShapeError>(x.rank() == 4, op, "expected images of shape (N, C, H, W); got {}", x);
  check<ShapeError>(weight.rank() == 4, op, "expected a weight of shape (O, C / groups, kh, kw); got {}", weight);
  check<ShapeError>(weight[0] >= 1 && weight[1] >= 1 && weight[2] >= 1 && weight[3] >= 1, op,
                    "expected a weight whose extents are all at least 1; got {}", weight);
  check(g.groups >= 1, op, "expected at least one group; got {}", g.groups);
  check<ShapeError>(weight[1] * g.groups == x[1], op, "expected input with {} channels (weight is {}), got {}",
                    weight[1] * g.groups, weight, x);
  check<ShapeError>(weight[0] % g.groups == 0, op, "expected output channels divisible by {} groups; weight is {}", g.groups,
                    weight);
  std::array<std::int64_t, 2> out{};
  for (int i = 0; i < 2; ++i) {
    const auto k = static_cast<std::size_t>(i);
    check(g.stride[k] >= 1 && g.padding[k] >= 0 && g.dilation[k] >= 1, op,
          "expected stride >= 1, padding >= 0 and dilation >= 1; got {}, {} and {}", g.stride[k], g.padding[k], g.dilation[k]);
    const std::int64_t window = g.dilation[k] * (weight[2 + i] - 1) + 1, room = x[2 + i] + 2 * g.padding[k];
    check<ShapeError>(window <= room, op, "expected a window within the padded input; got kernel {} on {} with padding {}",
                      weight, x, g.padding[k]);
    out[k] = (room - window) / g.stride[k] + 1;
  }
  return {x[0], weight[0], out[0], out[1]};
}

Shape pool2d_shape(const Shape& x, const Pool2dGeometry& g, const char* op) {
  check<ShapeError>(x.rank() == 4, op, "expected images of shape (N, C, H, W); got {}", x);
  std::array<std::int64_t, 2> out{};
  for (int i = 0; i < 2; ++i) {
    const auto k = static_cast<std::size_t>(i);
    check(g.kernel[k] >= 1 && g.stride[k] >= 1 && g.padding[k] >= 0 && 2 * g.padding[k] <= g.kernel[k], op,
          "expected kernel >= 1, stride >= 1 and 0 <= padding <= kernel / 2; got {}, {} and {}", g.kernel[k], g.stride[k],
          g.padding[k]);
    check<ShapeError>(g.kernel[k] <= x[2 + i] + 2 * g.padding[k], op,
                      "expected a window within the padded input; got kernel {} on {}", g.kernel[k], x);
    out[k] = (x[2 + i] + 2 * g.padding[k] - g.kernel[k]) / g.stride[k] + 1;
  }
  return {x[0], x[1], out[0], out[1]};
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry, bool relu) {
  check_images("conv2d", x);
  check_operands("conv2d", x, weight);
  conv2d_shape(x.shape(), weight.shape(), geometry);
  if (bias.defined()) {
    check_operands("conv2d", x, bias);
    check<ShapeError>(bias.shape() == Shape{weight.size(0)}, "conv2d", "expected a bias of shape ({},); got {}", weight.size(0),
                      bias.shape());
  }
  const Called backend("conv2d", x);
  const Tensor images = native(x, backend), w = native(weight, backend), b = bias.defined() ? bias.contiguous() : bias;
  return relu ? backend->conv2d_relu(images, w, b, geometry) : backend->conv2d(images, w, b, geometry);
}

Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape, const Conv2dGeometry& geometry) {
  check_operands("conv2d", dy, weight);
  check_gradient("conv2d", dy, conv2d_shape(x_shape, weight.shape(), geometry));
  const Called backend("conv2d", dy);
  return backend->conv2d_backward_input(native(dy, backend), native(weight, backend), x_shape, geometry);
}

WeightGradients conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight, bool want_bias,
                                       const Conv2dGeometry& geometry) {
  check_operands("conv2d", dy, x);
  check_gradient("conv2d", dy, conv2d_shape(x.shape(), weight.shape(), geometry));
  const Called backend("conv2d", dy);
  return backend->conv2d_backward_weight(native(dy, backend), native(x, backend), native(weight, backend), want_bias, geometry);
}

Tensor conv2d_prepare_weight(const Tensor& weight, const Tensor& x, const Conv2dGeometry& geometry) {
  const Called backend("conv2d", x);
  return backend->conv2d_prepare_weight(native(weight, backend), native(x, backend), geometry);
}

MaxPoolResult max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  check_images("max_pool2d", x);
  pool2d_shape(x.shape(), geometry, "max_pool2d");
  const Called backend("max_pool2d", x);
  return backend->max_pool2d(native(x, backend), geometry);
}

Tensor max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x, const Pool2dGeometry& geometry) {
  check_gradient("max_pool2d", dy, pool2d_shape(x.shape(), geometry, "max_pool2d"));
  const Called backend("max_pool2d", dy);
  return backend->max_pool2d_backward(native(dy, backend), where, native_form(x, backend), geometry);
}

// `where` is private to the backend, so it is read through the gradient: that of ones over windows that share no input is 1
// at the elements they chose, and the sum over a window of dx there is the element's. Windows that overlap take turns.
Tensor max_pool2d_tangent(const Tensor& dx, const Tensor& where, const Tensor& x, const Pool2dGeometry& g) {
  const Shape out = pool2d_shape(x.shape(), g, "max_pool2d");
  check_gradient("max_pool2d", dx, x.shape());
  const auto turns = [&](std::size_t k) {
    return std::min((g.kernel[k] + g.stride[k] - 1) / g.stride[k], out[2 + static_cast<int>(k)]);
  };
  const std::int64_t rows = turns(0), columns = turns(1);
  const double area = static_cast<double>(g.kernel[0] * g.kernel[1]);
  Tensor dy;
  for (std::int64_t turn = 0; turn < rows * columns; ++turn) {
    Tensor windows = Tensor::zeros(Shape{1, 1, out[2], out[3]}, dx.dtype(), dx.device());
    windows.slice(2, turn / columns, out[2], rows).slice(3, turn % columns, out[3], columns).fill_(1);
    const Tensor chosen = max_pool2d_backward(windows.expand(out), where, x, g);
    const Tensor sums = avg_pool2d(dx * chosen, g) * area;
    if (rows * columns == 1) return sums;
    dy = dy.defined() ? dy + sums * windows : sums * windows;
  }
  return dy;
}

Tensor avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  check_images("avg_pool2d", x);
  pool2d_shape(x.shape(), geometry, "avg_pool2d");
  const Called backend("avg_pool2d", x);
  return backend->avg_pool2d(native(x, backend), geometry);
}

Tensor avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry) {
  check_gradient("avg_pool2d", dy, pool2d_shape(x.shape(), geometry, "avg_pool2d"));
  const Called backend("avg_pool2d", dy);
  return backend->avg_pool2d_backward(native(dy, backend), native_form(x, backend), geometry);
}

Tensor subsample(const Tensor& x, std::int64_t stride, std::int64_t before, std::int64_t after) {
  check_images("subsample", x);
  check(stride >= 1 && before >= 0 && after >= 0, "subsample",
        "expected a stride of at least 1 and channels of at least 0; got {}, {} and {}", stride, before, after);
  const Called backend("subsample", x);
  return backend->subsample(native(x, backend), stride, before, after);
}

Tensor subsample_backward(const Tensor& dy, const Shape& x_shape, std::int64_t stride, std::int64_t before) {
  const Called backend("subsample", dy);
  return backend->subsample_backward(native(dy, backend), x_shape, stride, before);
}

BatchNormResult batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  check_images("batch_norm", x);
  check_per_channel("batch_norm", "gamma", x, x.shape(), gamma);
  check_per_channel("batch_norm", "beta", x, x.shape(), beta);
  check(x.numel() / x.size(1) > 1, "batch_norm", "expected more than one value per channel when training; got {}", x.shape());
  const Called backend("batch_norm", x);
  return backend->batch_norm_train(native(x, backend), gamma.contiguous(), beta.contiguous(), eps);
}

namespace {

// For images like x of that shape.
void check_statistics(const Tensor& x, const Shape& shape, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                      const Tensor& variance) {
  check_images("batch_norm", x);
  check_per_channel("batch_norm", "gamma", x, shape, gamma);
  check_per_channel("batch_norm", "beta", x, shape, beta);
  check_per_channel("batch_norm", "a mean", x, shape, mean);
  check_per_channel("batch_norm", "a variance", x, shape, variance);
}

// As the backend takes it, for images like x of that shape.
Tensor native_residual(const Tensor& residual, const Tensor& x, const Shape& shape, const Backend& backend) {
  if (!residual.defined()) return residual;
  check_operands("batch_norm", x, residual);
  check<ShapeError>(residual.shape() == shape, "batch_norm", "expected a residual of shape {}; got {}", shape,
                    residual.shape());
  return native(residual, backend);
}

}  // namespace

Tensor batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& variance,
                       double eps) {
  check_statistics(x, x.shape(), gamma, beta, mean, variance);
  const Called backend("batch_norm", x);
  return backend->batch_norm_eval(native(x, backend), gamma.contiguous(), beta.contiguous(), mean.contiguous(),
                                  variance.contiguous(), eps);
}

BatchNormGradients batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                       const Tensor& variance, double eps) {
  check_operands("batch_norm", dy, x);
  check_gradient("batch_norm", dy, x.shape());
  const Called backend("batch_norm", x);
  return backend->batch_norm_backward(native(dy, backend), native(x, backend), gamma.contiguous(), mean.contiguous(),
                                      variance.contiguous(), eps);
}

BatchNormResult batch_norm_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                 const NormFusion& fusion) {
  const char* op = "batch_norm";
  check_images(op, x);
  check_per_channel(op, "gamma", x, x.shape(), gamma);
  check_per_channel(op, "beta", x, x.shape(), beta);
  if (fusion.running_mean.defined()) check_per_channel(op, "a running mean", x, x.shape(), fusion.running_mean);
  if (fusion.running_variance.defined()) check_per_channel(op, "a running variance", x, x.shape(), fusion.running_variance);
  check(x.numel() / x.size(1) > 1, op, "expected more than one value per channel when training; got {}", x.shape());
  const Called backend(op, x);
  NormFusion dense = fusion;
  dense.residual = native_residual(fusion.residual, x, x.shape(), backend);
  if (fusion.running_mean.defined()) dense.running_mean = fusion.running_mean.contiguous();
  if (fusion.running_variance.defined()) dense.running_variance = fusion.running_variance.contiguous();
  const BatchNormResult result =
      backend->batch_norm_fused(native(x, backend), gamma.contiguous(), beta.contiguous(), eps, dense);
  const auto copy_back = [](Tensor running, const Tensor& blended) {
    if (running.defined() && !running.shares_storage(blended)) running.copy_(blended);
  };
  copy_back(fusion.running_mean, dense.running_mean);
  copy_back(fusion.running_variance, dense.running_variance);
  return result;
}

Tensor batch_norm_eval_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                             const Tensor& variance, double eps, const Tensor& residual, bool relu) {
  check_statistics(x, x.shape(), gamma, beta, mean, variance);
  const Called backend("batch_norm", x);
  return backend->batch_norm_eval_fused(native(x, backend), gamma.contiguous(), beta.contiguous(), mean.contiguous(),
                                        variance.contiguous(), eps, native_residual(residual, x, x.shape(), backend), relu);
}

Tensor conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Conv2dGeometry& geometry, const Tensor& gamma,
                         const Tensor& beta, const Tensor& mean, const Tensor& variance, double eps, const Tensor& residual,
                         bool relu) {
  check_images("conv2d", x);
  check_operands("conv2d", x, weight);
  const Shape shape = conv2d_shape(x.shape(), weight.shape(), geometry);
  check_statistics(x, shape, gamma, beta, mean, variance);
  const Called backend("conv2d", x);
  return backend->conv2d_batch_norm(native(x, backend), native(weight, backend), geometry, gamma.contiguous(),
                                    beta.contiguous(), mean.contiguous(), variance.contiguous(), eps,
                                    native_residual(residual, x, shape, backend), relu);
}

BatchNormGradients batch_norm_fused_backward(Tensor dy, const BatchNormResult& forward, const Tensor& x, const Tensor& gamma,
                                             const Tensor& beta, double eps, bool relu, bool want_residual) {
  check_operands("batch_norm", dy, x);
  check_gradient("batch_norm", dy, x.shape());
  check_per_channel("batch_norm", "gamma", x, x.shape(), gamma);
  check_per_channel("batch_norm", "a mean", x, x.shape(), forward.mean);
  check_per_channel("batch_norm", "a variance", x, x.shape(), forward.variance);
  const Called backend("batch_norm", x);
  const bool keeps = relu && forward.kept.defined(), reads_beta = relu && !keeps;
  if (reads_beta) check_per_channel("batch_norm", "beta", x, x.shape(), beta);
  check<ShapeError>(!keeps || forward.kept.shape() == x.shape(), "batch_norm", "expected an output of shape {}; got {}",
                    x.shape(), keeps ? forward.kept.shape() : Shape{});
  dy = native(dy, backend);
  return backend->batch_norm_fused_backward(
      std::move(dy),
      {{}, forward.mean.contiguous(), forward.variance.contiguous(), keeps ? native(forward.kept, backend) : Tensor{}},
      native(x, backend), gamma.contiguous(), reads_beta ? beta.contiguous() : Tensor{}, eps, relu, want_residual);
}

}  // namespace heft
