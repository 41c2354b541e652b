// Reductions are plain loops: dnnl::reduction has no kernel for these shapes and falls to a scalar reference loop, 20 to 200
// times slower for (1, 131072, 64), (128, 10, 1) and (1, 2000000, 1) alike. oneDNN's softmax has one for the last axis alone.
#include <algorithm>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/primitive.h"
#include "core/parallel.h"

namespace heft {
namespace {

using namespace onednn;

// Elements one task visits, about. Fixed, so that the order of the additions, and with it the result, depends on the shape
// and not on the thread count.
constexpr std::int64_t kBlock = 1 << 13;
constexpr std::int64_t kGrain = 4 * kBlock;  // elements that are worth waking a thread for
constexpr std::int64_t kTile = kBlock / 16;  // columns at a time
constexpr std::int64_t kLanes = 16;          // columns a single line is folded into

struct Sum {
  using Acc = double;
  static double combine(double a, double b) { return a + b; }
};
// A NaN on either side stays.
struct Max {
  using Acc = float;
  static float combine(float a, float b) { return b > a || b != b ? b : a; }
};
struct Min {
  using Acc = float;
  static float combine(float a, float b) { return b < a || b != b ? b : a; }
};

// y[j] = x[0, j] op x[1, j] op ...: `rows` >= 1 rows of `width`, `stride` apart. Vectorises across the columns.
template <class Op, class T, class Acc = typename Op::Acc>
void reduce_rows(const T* x, std::int64_t rows, std::int64_t stride, std::int64_t width, Acc* y) {
  std::copy_n(x, width, y);
  for (std::int64_t i = 1; i < rows; ++i) {
    const T* row = x + i * stride;
    for (std::int64_t j = 0; j < width; ++j) y[j] = Op::combine(y[j], static_cast<Acc>(row[j]));
  }
}

// All of x, n >= 1, as rows of kLanes and a rest.
template <class Op, class T, class Acc = typename Op::Acc>
Acc reduce_line(const T* x, std::int64_t n) {
  const std::int64_t rows = n / kLanes;
  Acc lanes[kLanes] = {static_cast<Acc>(x[0])};
  std::int64_t used = 1, next = 1;
  if (rows > 1) {
    reduce_rows<Op>(x, rows, kLanes, kLanes, lanes);
    used = kLanes;
    next = rows * kLanes;
  }
  Acc y = lanes[0];
  for (std::int64_t i = 1; i < used; ++i) y = Op::combine(y, lanes[i]);
  for (std::int64_t i = next; i < n; ++i) y = Op::combine(y, static_cast<Acc>(x[i]));
  return y;
}

// (outer, n, inner) -> (outer, ceil(n / step), inner). Tasks are blocks of `step` rows by tiles of columns.
template <class Op, class T, class Out>
void reduce_blocks(const T* x, std::int64_t outer, std::int64_t n, std::int64_t inner, std::int64_t step, Out* y) {
  const std::int64_t width = std::min(inner, kTile), tiles = (inner + width - 1) / width, blocks = (n + step - 1) / step;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / (step * width));
  parallel_for(outer * blocks * tiles, grain, [=](std::int64_t begin, std::int64_t end) {
    typename Op::Acc result[kTile];
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t column = i % tiles * width, line = i / tiles, row = line % blocks * step;
      const std::int64_t rows = std::min(step, n - row), columns = std::min(width, inner - column);
      const T* from = x + (line / blocks * n + row) * inner + column;
      if (inner == 1) result[0] = reduce_line<Op>(from, rows);
      else reduce_rows<Op>(from, rows, inner, columns, result);
      for (std::int64_t j = 0; j < columns; ++j) y[line * inner + column + j] = static_cast<Out>(result[j]);
    }
  });
}

template <class Op>
void reduce_all(const float* x, std::int64_t outer, std::int64_t n, std::int64_t inner, float* y) {
  const std::int64_t step = std::min(n, std::max(kLanes, kBlock / std::min(inner, kTile))), blocks = (n + step - 1) / step;
  if (blocks == 1) return reduce_blocks<Op>(x, outer, n, inner, n, y);
  std::vector<typename Op::Acc> partial(static_cast<std::size_t>(outer * blocks * inner));
  reduce_blocks<Op>(x, outer, n, inner, step, partial.data());
  reduce_blocks<Op>(partial.data(), outer, blocks, inner, blocks, y);
}

PrimitivePtr softmax_forward(const Tensor& x, bool log) {
  return cached("softmax", Key(Kind::softmax) << x.shape() << log, [&] {
    const Desc desc = desc_of(x);
    return Primitive(
        describe<SoftmaxForward>(dnnl::prop_kind::forward_training,
                                 log ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate, desc, desc, 1),
        {DNNL_ARG_SRC, DNNL_ARG_DST});
  });
}

PrimitivePtr softmax_gradient(const Tensor& y, bool log) {
  return cached("softmax", Key(Kind::softmax_backward) << y.shape() << log, [&] {
    const Desc desc = desc_of(y);
    const auto algorithm = log ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate;
    const auto hint = describe<SoftmaxForward>(dnnl::prop_kind::forward_training, algorithm, desc, desc, 1);
    return Primitive(describe_backward<SoftmaxBackward>(hint, algorithm, desc, desc, desc, 1),
                     {DNNL_ARG_DST, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC});
  });
}

}  // namespace

Tensor CpuBackend::reduce(Reduction op, const Tensor& x) {
  if (!ours(x)) return reference_backend().reduce(op, x);
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  Tensor y = Tensor::empty(Shape{outer, inner});
  const float* in = x.data<float>();
  float* out = y.mutable_data<float>();
  switch (op) {
    case Reduction::sum: reduce_all<Sum>(in, outer, n, inner, out); break;
    case Reduction::max: reduce_all<Max>(in, outer, n, inner, out); break;
    case Reduction::min: reduce_all<Min>(in, outer, n, inner, out); break;
  }
  return y;
}

Tensor CpuBackend::softmax(const Tensor& x, bool log) {
  if (!ours(x) || x.size(2) != 1) return reference_backend().softmax(x, log);
  Call call(softmax_forward(x, log));
  Tensor y = call.in(DNNL_ARG_SRC, x).out(DNNL_ARG_DST);
  call.run();
  return y;
}

Tensor CpuBackend::softmax_backward(const Tensor& y, const Tensor& dy, bool log) {
  if (!ours(y) || y.size(2) != 1) return reference_backend().softmax_backward(y, dy, log);
  Call call(softmax_gradient(y, log));
  Tensor dx = call.in(DNNL_ARG_DST, y).in(DNNL_ARG_DIFF_DST, dy).out(DNNL_ARG_DIFF_SRC);
  call.run();
  return dx;
}

}  // namespace heft
