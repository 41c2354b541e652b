#include "autograd/images.h"

#include "autograd/elementwise.h"
#include "autograd/shape_ops.h"
#include "autograd/trace.h"
#include "core/check.h"
#include "core/ops.h"

namespace heft {
namespace {

// A parameter in training is moved to the backend's layout once, whatever batch sizes follow. A constant or an
// evaluation changes nothing, so that threads can evaluate one network together.
const Tensor& prepare(const Variable& weight, const Tensor& x, const Conv2dGeometry& geometry) {
  if (grad_enabled() && weight.is_leaf() && weight.requires_grad() && !weight.value().is_opaque()) {
    const Tensor prepared = conv2d_prepare_weight(weight.value(), x, geometry);
    if (prepared.is_opaque()) Variable(weight).set_layout_of_value(prepared);
  }
  return weight.value();
}

Attributes attributes_of(const Pool2dGeometry& g) {
  return {{"kernel", g.kernel}, {"stride", g.stride}, {"padding", g.padding}};
}

// relu(conv2d(...)), or without the relu.
Variable convolution(const char* op, bool relu, const Variable& x, const Variable& weight, const Variable& bias,
                     const Conv2dGeometry& geometry) {
  conv2d_shape(x.shape(), weight.shape(), geometry);
  const Tensor& w = prepare(weight, x.value(), geometry);
  const SavedInput images(weight.requires_grad() ? x : Variable{});
  const Tensor y = conv2d(x.value(), w, bias.defined() ? bias.value() : Tensor{}, geometry, relu);
  const auto across = [y = Saved(relu ? y : Tensor{})](const Tensor& d) { return across_relu(y, d); };
  return record(
      op, y, {x, weight, bias},
      [=, x = images, w = Saved(w), shape = x.shape()](const Tensor& d, const std::vector<bool>& needed) {
        const Tensor dy = across(d);
        std::vector<Tensor> grads(3);
        if (needed[0]) grads[0] = conv2d_backward_input(dy, w, shape, geometry);
        if (needed[1]) {
          const WeightGradients both = conv2d_backward_weight(dy, x.get(), w, needed[2], geometry);
          grads[1] = both.weight, grads[2] = both.bias;
        } else if (needed[2]) {
          grads[2] = sum(dy, {0, 2, 3});
        }
        return grads;
      },
      // Linear in images and weight each; the bias rides along with the first of the two.
      [=, x = images, w = Saved(w), shape = y.shape()](const std::vector<Tensor>& d) {
        if (!d[0].defined() && !d[1].defined()) return across(d[2].reshape({1, -1, 1, 1}).expand(shape));
        if (!d[0].defined()) return across(conv2d(x.get(), d[1], d[2], geometry));
        const Tensor along_x = conv2d(d[0], w, d[2], geometry);
        return across(d[1].defined() ? along_x + conv2d(x.get(), d[1], {}, geometry) : along_x);
      },
      {{"stride", geometry.stride},
       {"padding", geometry.padding},
       {"dilation", geometry.dilation},
       {"groups", geometry.groups}});
}

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dGeometry& geometry) {
  return convolution("conv2d", false, x, weight, bias, geometry);
}

Variable conv2d_relu(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dGeometry& geometry) {
  // Whoever watches sees what it consists of, and knows those operations already.
  if (observed()) return relu(conv2d(x, weight, bias, geometry));
  return convolution("conv2d_relu", true, x, weight, bias, geometry);
}

Variable max_pool2d(const Variable& x, const Pool2dGeometry& geometry) {
  const MaxPoolResult result = max_pool2d(x.value(), geometry);
  return record("max_pool2d", result.output,
                {{x,
                  [where = Saved(result.where), form = Tensor::form_of(x.value()), geometry](const Tensor& dy) {
                    return max_pool2d_backward(dy, where, form, geometry);
                  },
                  [where = Saved(result.where), form = Tensor::form_of(x.value()), geometry](const Tensor& dx) {
                    return max_pool2d_tangent(dx, where, form, geometry);
                  }}},
                attributes_of(geometry));
}

Variable avg_pool2d(const Variable& x, const Pool2dGeometry& geometry) {
  return record(
      "avg_pool2d", avg_pool2d(x.value(), geometry),
      {{x, [form = Tensor::form_of(x.value()), geometry](const Tensor& dy) { return avg_pool2d_backward(dy, form, geometry); },
        [geometry](const Tensor& dx) { return avg_pool2d(dx, geometry); }}},
      attributes_of(geometry));
}

Variable adaptive_avg_pool2d(const Variable& x, std::int64_t height, std::int64_t width) {
  const char* op = "adaptive_avg_pool2d";
  check<ShapeError>(x.rank() == 4, op, "expected images of shape (N, C, H, W); got {}", x.shape());
  check<ShapeError>(height >= 1 && width >= 1 && x.size(2) % height == 0 && x.size(3) % width == 0, op,
                    "expected an output whose extents divide the input's; got {} x {} for {}", height, width, x.shape());
  const std::array<std::int64_t, 2> window{x.size(2) / height, x.size(3) / width};
  return avg_pool2d(x, {.kernel = window, .stride = window});
}

Variable global_avg_pool2d(const Variable& x) { return adaptive_avg_pool2d(x, 1, 1); }

Variable subsample(const Variable& x, std::int64_t stride, std::int64_t before, std::int64_t after) {
  // Whoever watches sees what it consists of, and knows those operations already.
  if (observed() && x.rank() == 4)
    return pad(slice(slice(x, 2, 0, x.size(2), stride), 3, 0, x.size(3), stride), {0, before, 0, 0}, {0, after, 0, 0});
  return record("subsample", subsample(x.value(), stride, before, after),
                {{x, [=, shape = x.shape()](const Tensor& dy) { return subsample_backward(dy, shape, stride, before); },
                  [=](const Tensor& dx) { return subsample(dx, stride, before, after); }}});
}

}  // namespace heft
