// Convolutions: by loops of our own where they win (lanes.h, winograd.h), else by oneDNN. It chooses the formats, so a
// primitive depends on the shapes and the geometry alone.
#include <string_view>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/lanes.h"
#include "core/cpu/norm_kernels.h"
#include "core/cpu/primitive.h"
#include "core/cpu/small.h"
#include "core/cpu/winograd.h"
#include "core/ops.h"

namespace heft {
namespace {

using namespace onednn;

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;

struct Geometry {
  Desc x, weight, y, bias;
  Dims stride, dilation, padding;
};

Geometry describe_geometry(const Shape& x, const Shape& w, const Conv2dGeometry& g) {
  // oneDNN counts the skipped elements: 0 is dense.
  const Dims dilation{g.dilation[0] - 1, g.dilation[1] - 1};
  const Dims weight = g.groups == 1 ? dims_of(w) : Dims{g.groups, w[0] / g.groups, w[1], w[2], w[3]};
  return {any_format(dims_of(x)),      any_format(weight),         any_format(dims_of(conv2d_shape(x, w, g))),
          row_major({w[0]}),           {g.stride[0], g.stride[1]}, dilation,
          {g.padding[0], g.padding[1]}};
}

Key key_of(Kind kind, const Shape& x, const Shape& weight, bool bias, const Conv2dGeometry& g) {
  return Key(kind) << x << weight << bias << g.stride << g.padding << g.dilation << g.groups;
}

// Always the training kind, so that the formats in training and evaluation agree.
auto describe_forward(const Geometry& g, bool bias) {
  using Forward = dnnl::convolution_forward;
  constexpr auto kind = dnnl::prop_kind::forward_training;
  return bias ? describe<Forward>(kind, kAlgorithm, g.x, g.weight, g.bias, g.y, g.stride, g.dilation, g.padding, g.padding)
              : describe<Forward>(kind, kAlgorithm, g.x, g.weight, g.y, g.stride, g.dilation, g.padding, g.padding);
}

PrimitivePtr forward(const Shape& x, const Shape& weight, bool bias, const Conv2dGeometry& geometry) {
  return cached("conv2d", key_of(Kind::conv, x, weight, bias, geometry), [&] {
    const auto desc = describe_forward(describe_geometry(x, weight, geometry), bias);
    return bias ? Primitive(desc, {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST})
                : Primitive(desc, {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST});
  });
}

// A gradient's primitive in the formats of the forward pass, so that activations and their gradients need no reorder; in
// oneDNN's own choice where it has only a plain loop for those. Left to choose, oneDNN 3.7 takes channels-last for strided
// gradients: 8 reorders and a tenth more time in the input gradients of a ResNet-20 step.
template <class Hint, class Describe>
auto in_forward_formats(const Hint& hint, const Geometry& g, const Describe& describe) {
  Geometry same = g;
  same.x = hint.src_desc();
  same.y = hint.dst_desc();
  try {
    if (auto desc = describe(same); std::string_view(desc.impl_info_str()).substr(0, 3) != "ref") return desc;
  } catch (const dnnl::error& error) {
    if (error.status != dnnl_unimplemented) throw;
  }
  return describe(g);
}

PrimitivePtr backward_input(const Shape& x, const Shape& weight, const Conv2dGeometry& geometry) {
  return cached("conv2d", key_of(Kind::conv_input, x, weight, false, geometry), [&] {
    const Geometry any = describe_geometry(x, weight, geometry);
    const auto hint = describe_forward(any, false);
    const auto desc = in_forward_formats(hint, any, [&](const Geometry& g) {
      return describe_backward<dnnl::convolution_backward_data>(hint, kAlgorithm, g.x, g.weight, g.y, g.stride, g.dilation,
                                                                g.padding, g.padding);
    });
    return Primitive(desc, {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC});
  });
}

PrimitivePtr backward_weight(const Shape& x, const Shape& weight, bool bias, const Conv2dGeometry& geometry) {
  return cached("conv2d", key_of(Kind::conv_weight, x, weight, bias, geometry), [&] {
    using Backward = dnnl::convolution_backward_weights;
    const Geometry any = describe_geometry(x, weight, geometry);
    const auto hint = describe_forward(any, bias);
    const auto desc = in_forward_formats(hint, any, [&](const Geometry& g) {
      return bias ? describe_backward<Backward>(hint, kAlgorithm, g.x, g.weight, g.bias, g.y, g.stride, g.dilation, g.padding,
                                                g.padding)
                  : describe_backward<Backward>(hint, kAlgorithm, g.x, g.weight, g.y, g.stride, g.dilation, g.padding,
                                                g.padding);
    });
    return bias ? Primitive(desc, {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS})
                : Primitive(desc, {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS});
  });
}

// Who convolves. A matter of shapes alone, so that a step is done the same way every time.
enum class Way : std::uint8_t { onednn, images_in_lanes, pixels_in_lanes, winograd };
Way way_of(const Shape& x, const Shape& weight, const Conv2dGeometry& geometry) {
  if (lanes::images_suit(x, weight, geometry)) return Way::images_in_lanes;
  if (lanes::pixels_suit(x, weight, geometry)) return Way::pixels_in_lanes;
  return winograd::suits(x, weight, geometry) ? Way::winograd : Way::onednn;
}
bool in_lanes(Way way) { return way == Way::images_in_lanes || way == Way::pixels_in_lanes; }

winograd::Epilogue with_bias(const Tensor& bias, bool relu) {
  return {.shift = bias.defined() ? bias.data<float>() : nullptr, .relu = relu};
}

}  // namespace

Tensor CpuBackend::conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) {
  if (!ours(x)) return reference_backend().conv2d(x, weight, bias, geometry);
  const Way way = way_of(x.shape(), weight.shape(), geometry);
  if (in_lanes(way)) return lanes::conv2d(x, weight, bias, geometry, false);
  if (way == Way::winograd) return winograd::conv2d(x, weight, geometry, with_bias(bias, false));
  Call call(forward(x.shape(), weight.shape(), bias.defined(), geometry));
  call.in(DNNL_ARG_SRC, x).in(DNNL_ARG_WEIGHTS, weight);
  if (bias.defined()) call.in(DNNL_ARG_BIAS, bias);
  Tensor y = call.out(DNNL_ARG_DST);
  call.run();
  return y;
}

// In place where oneDNN convolves: its own ReLU makes a 0 of a NaN, which hides that a run is broken.
Tensor CpuBackend::conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) {
  if (!ours(x)) return HostBackend::conv2d_relu(x, weight, bias, geometry);
  const Way way = way_of(x.shape(), weight.shape(), geometry);
  if (in_lanes(way)) return lanes::conv2d(x, weight, bias, geometry, true);
  if (way == Way::winograd) return winograd::conv2d(x, weight, geometry, with_bias(bias, true));
  Tensor y = conv2d(x, weight, bias, geometry);
  small::relu_in_place(y);
  return y;
}

Tensor CpuBackend::conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Conv2dGeometry& geometry, const Tensor& gamma,
                                     const Tensor& beta, const Tensor& mean, const Tensor& variance, double eps,
                                     const Tensor& residual, bool relu) {
  if (!ours(x) || way_of(x.shape(), weight.shape(), geometry) != Way::winograd)
    return HostBackend::conv2d_batch_norm(x, weight, geometry, gamma, beta, mean, variance, eps, residual, relu);
  const norm::Affine affine = norm::affine_of(gamma, beta, mean, variance, eps);
  return winograd::conv2d(x, weight, geometry, {affine.mean.data(), affine.scale.data(), affine.shift.data(), residual, relu});
}

Tensor CpuBackend::conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape,
                                         const Conv2dGeometry& geometry) {
  if (!ours(dy)) return reference_backend().conv2d_backward_input(dy, weight, x_shape, geometry);
  const Way way = way_of(x_shape, weight.shape(), geometry);
  if (way == Way::images_in_lanes) return lanes::conv2d_backward_input(dy, weight, x_shape, geometry);
  if (way == Way::winograd) return winograd::conv2d_backward_input(dy, weight, x_shape, geometry);
  Call call(backward_input(x_shape, weight.shape(), geometry));
  Tensor dx = call.in(DNNL_ARG_DIFF_DST, dy).in(DNNL_ARG_WEIGHTS, weight).out(DNNL_ARG_DIFF_SRC);
  call.run();
  return dx;
}

WeightGradients CpuBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight, bool want_bias,
                                                   const Conv2dGeometry& geometry) {
  if (!ours(dy)) return reference_backend().conv2d_backward_weight(dy, x, weight, want_bias, geometry);
  const Way way = way_of(x.shape(), weight.shape(), geometry);
  WeightGradients gradients;
  if (way == Way::images_in_lanes) {
    gradients = lanes::conv2d_backward_weight(dy, x, weight.shape(), want_bias, geometry);
  } else if (way == Way::winograd) {
    gradients = winograd::conv2d_backward_weight(dy, x, weight.shape(), want_bias, geometry);
  } else {
    Call call(backward_weight(x.shape(), weight.shape(), want_bias, geometry));
    gradients.weight = call.in(DNNL_ARG_SRC, x).in(DNNL_ARG_DIFF_DST, dy).out(DNNL_ARG_DIFF_WEIGHTS, weight.shape());
    if (want_bias) gradients.bias = call.out(DNNL_ARG_DIFF_BIAS);
    call.run();
  }
  gradients.weight = to_layout(gradients.weight, weight.layout());
  return gradients;
}

// Row-major for loops of our own, which bring it into a form of theirs at each call.
Tensor CpuBackend::conv2d_prepare_weight(const Tensor& weight, const Tensor& x, const Conv2dGeometry& geometry) {
  if (!ours(x)) return weight;
  if (way_of(x.shape(), weight.shape(), geometry) != Way::onednn) return weight.contiguous();
  return to_layout(weight, forward(x.shape(), weight.shape(), false, geometry)->port(DNNL_ARG_WEIGHTS).layout);
}

}  // namespace heft
