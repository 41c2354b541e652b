#include <vector>

#include "core/parallel.h"
#include "core/reference/loops.h"
#include "core/reference/reference_backend.h"

namespace heft {
namespace {

// How a convolution becomes sums of shifted runs. A zero-padded input plane is stored by phases: the element at padded
// (h, w) goes to phase (h mod sh, w mod sw), row h / sh, column w / sw. Then all inputs that one kernel element (r, s)
// meets, for all outputs, lie one after another with step 1 whatever the stride: output (i, j) meets
// plane[tap(r, s) + i * pitch + j]. Outputs are stored at the same pitch, so that a plane of them is one run of `length`
// elements; the elements between rows are not outputs, and are skipped (forward) or zero (backward).
struct Runs {
  std::int64_t n, channels, height, width;   // input
  std::int64_t out_channels, oh, ow;         // output
  std::int64_t group_in, group_out, kernel;  // channels per group; kernel elements of one channel
  std::int64_t rows, pitch, plane, length;
  std::array<std::int64_t, 2> stride, padding;
  std::vector<std::int64_t> taps;  // of kernel element (c, r, s), c counted within the group

  Runs(const Shape& x, const Shape& weight, const Conv2dGeometry& g)
      : n(x[0]), channels(x[1]), height(x[2]), width(x[3]), out_channels(weight[0]), stride(g.stride), padding(g.padding) {
    const std::int64_t padded_h = height + 2 * padding[0], padded_w = width + 2 * padding[1], kh = weight[2], kw = weight[3];
    oh = (padded_h - g.dilation[0] * (kh - 1) - 1) / stride[0] + 1;
    ow = (padded_w - g.dilation[1] * (kw - 1) - 1) / stride[1] + 1;
    group_in = weight[1];
    group_out = out_channels / g.groups;
    kernel = kh * kw;
    rows = (padded_h + stride[0] - 1) / stride[0];
    pitch = (padded_w + stride[1] - 1) / stride[1];
    plane = stride[0] * stride[1] * rows * pitch;
    length = (oh - 1) * pitch + ow;
    for (std::int64_t c = 0; c < group_in; ++c)
      for (std::int64_t r = 0; r < kh; ++r)
        for (std::int64_t s = 0; s < kw; ++s) taps.push_back(c * plane + position(r * g.dilation[0], s * g.dilation[1]));
  }

  std::int64_t position(std::int64_t h, std::int64_t w) const {
    const std::int64_t phase = h % stride[0] * stride[1] + w % stride[1];
    return (phase * rows + h / stride[0]) * pitch + w / stride[1];
  }

  std::int64_t first_input(std::int64_t out_channel) const { return out_channel / group_out * group_in; }

  // Inputs as phases, (n, channels, plane).
  Tensor spread_input(const Tensor& x) const {
    Tensor spread = Tensor::zeros(Shape{n, channels, plane}, DType::f64);
    const double* from = x.data<double>();
    double* to = spread.mutable_data<double>();
    parallel_for(n * channels, reference::grain(plane), [=, this](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = begin; p < end; ++p)
        for (std::int64_t h = 0; h < height; ++h)
          for (std::int64_t w = 0; w < width; ++w)
            to[p * plane + position(h + padding[0], w + padding[1])] = from[(p * height + h) * width + w];
    });
    return spread;
  }

  // Output gradients as runs, (n, out_channels, length).
  Tensor spread_output(const Tensor& dy) const {
    Tensor spread = Tensor::zeros(Shape{n, out_channels, length}, DType::f64);
    const double* from = dy.data<double>();
    double* to = spread.mutable_data<double>();
    for (std::int64_t p = 0; p < n * out_channels; ++p)
      for (std::int64_t i = 0; i < oh; ++i) std::copy_n(from + (p * oh + i) * ow, ow, to + p * length + i * pitch);
    return spread;
  }
};

}  // namespace

Tensor ReferenceBackend::conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dGeometry& geometry) {
  const Runs runs(x.shape(), weight.shape(), geometry);
  const Tensor spread = runs.spread_input(as_double(x)), kernels = as_double(weight);
  const Tensor start = bias.defined() ? as_double(bias) : Tensor();
  Tensor y = Tensor::empty(Shape{runs.n, runs.out_channels, runs.oh, runs.ow}, DType::f64);
  const std::int64_t taps = static_cast<std::int64_t>(runs.taps.size());
  const double *px = spread.data<double>(), *pw = kernels.data<double>(), *pb = bias.defined() ? start.data<double>() : nullptr;
  double* py = y.mutable_data<double>();
  parallel_for(runs.n * runs.out_channels, reference::grain(taps * runs.length),
               [&, px, pw, pb, py](std::int64_t begin, std::int64_t end) {
                 std::vector<double> run(static_cast<std::size_t>(runs.length));
                 for (std::int64_t p = begin; p < end; ++p) {
                   const std::int64_t image = p / runs.out_channels, o = p % runs.out_channels;
                   std::fill(run.begin(), run.end(), pb ? pb[o] : 0.0);
                   reference::add_scaled_rows(run.data(), runs.length, pw + o * taps,
                                              px + (image * runs.channels + runs.first_input(o)) * runs.plane, taps,
                                              [tap = runs.taps.data()](std::int64_t k) { return tap[k]; });
                   for (std::int64_t i = 0; i < runs.oh; ++i)
                     std::copy_n(run.data() + i * runs.pitch, runs.ow, py + (p * runs.oh + i) * runs.ow);
                 }
               });
  return as(y, x.dtype());
}

Tensor ReferenceBackend::conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Shape& x_shape,
                                               const Conv2dGeometry& geometry) {
  const Runs runs(x_shape, weight.shape(), geometry);
  const Tensor spread = runs.spread_output(as_double(dy)), kernels = as_double(weight);
  Tensor dx = Tensor::empty(x_shape, DType::f64);
  const double *pdy = spread.data<double>(), *pw = kernels.data<double>();
  double* pdx = dx.mutable_data<double>();
  const std::int64_t work = runs.group_out * runs.kernel * runs.length;
  parallel_for(runs.n * runs.channels, reference::grain(work), [&, pdy, pw, pdx](std::int64_t begin, std::int64_t end) {
    std::vector<double> plane(static_cast<std::size_t>(runs.plane));
    for (std::int64_t p = begin; p < end; ++p) {
      const std::int64_t image = p / runs.channels, c = p % runs.channels, group = c / runs.group_in;
      std::fill(plane.begin(), plane.end(), 0.0);
      for (std::int64_t o = group * runs.group_out; o < (group + 1) * runs.group_out; ++o)
        for (std::int64_t k = 0; k < runs.kernel; ++k) {
          const double* w = pw + (o * runs.group_in + c % runs.group_in) * runs.kernel + k;
          reference::add_scaled_rows(plane.data() + runs.taps[static_cast<std::size_t>(k)], runs.length, w,
                                     pdy + (image * runs.out_channels + o) * runs.length, 1, [](std::int64_t) { return 0; });
        }
      for (std::int64_t h = 0; h < runs.height; ++h)
        for (std::int64_t w = 0; w < runs.width; ++w)
          pdx[(p * runs.height + h) * runs.width + w] =
              plane[static_cast<std::size_t>(runs.position(h + runs.padding[0], w + runs.padding[1]))];
    }
  });
  return as(dx, dy.dtype());
}

WeightGradients ReferenceBackend::conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& weight,
                                                         bool want_bias, const Conv2dGeometry& geometry) {
  const Runs runs(x.shape(), weight.shape(), geometry);
  const Tensor inputs = runs.spread_input(as_double(x)), gradients = runs.spread_output(as_double(dy));
  Tensor dw = Tensor::zeros(weight.shape(), DType::f64), db = Tensor::zeros(Shape{runs.out_channels}, DType::f64);
  const double *px = inputs.data<double>(), *pdy = gradients.data<double>();
  double *pdw = dw.mutable_data<double>(), *pdb = db.mutable_data<double>();
  const std::int64_t work = runs.n * runs.length * runs.group_in * runs.kernel;
  parallel_for(runs.out_channels, reference::grain(work), [&, px, pdy, pdw, pdb](std::int64_t begin, std::int64_t end) {
    const std::int64_t taps = static_cast<std::int64_t>(runs.taps.size());
    for (std::int64_t o = begin; o < end; ++o)
      for (std::int64_t image = 0; image < runs.n; ++image) {
        const double* run = pdy + (image * runs.out_channels + o) * runs.length;
        const double* input = px + (image * runs.channels + runs.first_input(o)) * runs.plane;
        for (std::int64_t k = 0; k < taps; ++k)
          pdw[o * taps + k] += reference::dot(run, input + runs.taps[static_cast<std::size_t>(k)], runs.length);
        for (std::int64_t j = 0; j < runs.length; ++j) pdb[o] += run[j];
      }
  });
  WeightGradients result{as(dw, weight.dtype()), want_bias ? as(db, weight.dtype()) : Tensor()};
  if (weight.is_opaque()) result.weight = weight.layout().opaque()->owner().to_layout(result.weight, weight.layout());
  return result;
}

}  // namespace heft
