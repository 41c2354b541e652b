// Pooling, in the layout the input arrives in.
#include "core/cpu/cpu_backend.h"
#include "core/cpu/lanes.h"
#include "core/cpu/primitive.h"
#include "core/cpu/small.h"
#include "core/ops.h"

namespace heft {
namespace {

using namespace onednn;

constexpr auto kMax = dnnl::algorithm::pooling_max;
constexpr auto kMean = dnnl::algorithm::pooling_avg_include_padding;

struct Geometry {
  Desc x, y;
  Dims stride, kernel, dilation, padding;
};

Geometry describe_geometry(const Tensor& x, const Pool2dGeometry& g) {
  return {desc_of(x),
          any_format(dims_of(pool2d_shape(x.shape(), g, "pool2d"))),
          {g.stride[0], g.stride[1]},
          {g.kernel[0], g.kernel[1]},
          {0, 0},
          {g.padding[0], g.padding[1]}};
}

Key key_of(Kind kind, const Tensor& x, const Pool2dGeometry& g) { return Key(kind) << x << g.kernel << g.stride << g.padding; }

auto describe_forward(dnnl::algorithm algorithm, const Geometry& g) {
  return describe<PoolForward>(dnnl::prop_kind::forward_training, algorithm, g.x, g.y, g.stride, g.kernel, g.dilation,
                               g.padding, g.padding);
}
auto describe_pool_backward(dnnl::algorithm algorithm, const Geometry& g) {
  return describe_backward<PoolBackward>(describe_forward(algorithm, g), algorithm, g.x, g.y, g.stride, g.kernel, g.dilation,
                                         g.padding, g.padding);
}

}  // namespace

MaxPoolResult CpuBackend::max_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  if (!ours(x)) return reference_backend().max_pool2d(x, geometry);
  if (lanes::is_inside(x)) return lanes::max_pool2d(x, geometry);
  if (small::halves(x, geometry)) return small::max_pool2d(x);
  Call call(cached("max_pool2d", key_of(Kind::max_pool, x, geometry), [&] {
    return Primitive(describe_forward(kMax, describe_geometry(x, geometry)), {DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WORKSPACE});
  }));
  MaxPoolResult result;
  result.output = call.in(DNNL_ARG_SRC, x).out(DNNL_ARG_DST);
  result.where = call.out_bytes(DNNL_ARG_WORKSPACE);
  call.run();
  return result;
}

Tensor CpuBackend::max_pool2d_backward(const Tensor& dy, const Tensor& where, const Tensor& x, const Pool2dGeometry& geometry) {
  if (!ours(dy)) return reference_backend().max_pool2d_backward(dy, where, x, geometry);
  if (lanes::is_inside(x)) return lanes::max_pool2d_backward(dy, where, x.shape(), geometry);
  if (small::halves(x, geometry)) return small::max_pool2d_backward(dy, where, x.shape());
  Call call(cached("max_pool2d", key_of(Kind::max_pool_input, x, geometry), [&] {
    return Primitive(describe_pool_backward(kMax, describe_geometry(x, geometry)),
                     {DNNL_ARG_DIFF_DST, DNNL_ARG_WORKSPACE, DNNL_ARG_DIFF_SRC});
  }));
  Tensor dx = call.in(DNNL_ARG_DIFF_DST, dy).in_as_described(DNNL_ARG_WORKSPACE, where).out(DNNL_ARG_DIFF_SRC);
  call.run();
  return dx;
}

Tensor CpuBackend::avg_pool2d(const Tensor& x, const Pool2dGeometry& geometry) {
  if (!ours(x)) return reference_backend().avg_pool2d(x, geometry);
  Call call(cached("avg_pool2d", key_of(Kind::mean_pool, x, geometry), [&] {
    return Primitive(describe_forward(kMean, describe_geometry(x, geometry)), {DNNL_ARG_SRC, DNNL_ARG_DST});
  }));
  Tensor y = call.in(DNNL_ARG_SRC, x).out(DNNL_ARG_DST);
  call.run();
  return y;
}

Tensor CpuBackend::avg_pool2d_backward(const Tensor& dy, const Tensor& x, const Pool2dGeometry& geometry) {
  if (!ours(dy)) return reference_backend().avg_pool2d_backward(dy, x, geometry);
  Call call(cached("avg_pool2d", key_of(Kind::mean_pool_input, x, geometry), [&] {
    return Primitive(describe_pool_backward(kMean, describe_geometry(x, geometry)), {DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC});
  }));
  Tensor dx = call.in(DNNL_ARG_DIFF_DST, dy).out(DNNL_ARG_DIFF_SRC);
  call.run();
  return dx;
}

}  // namespace heft
