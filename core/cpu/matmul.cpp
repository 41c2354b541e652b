// Matrix products. Operands are dense row-major; a transposed one is described by its strides.
#include "core/cpu/cpu_backend.h"
#include "core/cpu/primitive.h"
#include "core/cpu/small.h"

namespace heft {
namespace {

using namespace onednn;

// A (batch, rows, columns) operand, or (rows, columns) in a product without batches; stored transposed where asked.
Desc matrix(bool batched, std::int64_t batch, std::int64_t rows, std::int64_t columns, bool transposed) {
  Dims dims{batch, rows, columns};
  Dims strides{rows * columns, transposed ? 1 : columns, transposed ? rows : 1};
  if (!batched) {
    dims.erase(dims.begin());
    strides.erase(strides.begin());
  }
  return {dims, dnnl::memory::data_type::f32, strides};
}

}  // namespace

Tensor CpuBackend::matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  if (!ours(a) || !ours(b)) return reference_backend().matmul(a, b, transpose_a, transpose_b);
  const std::int64_t batch = std::max(a.size(0), b.size(0));
  const std::int64_t m = a.size(transpose_a ? 2 : 1), k = a.size(transpose_a ? 1 : 2), n = b.size(transpose_b ? 1 : 2);
  Call call(cached("matmul", Key(Kind::matmul) << a.shape() << b.shape() << transpose_a << transpose_b, [&] {
    const bool batched = batch > 1;
    return Primitive(describe<dnnl::matmul>(matrix(batched, a.size(0), m, k, transpose_a),
                                            matrix(batched, b.size(0), k, n, transpose_b), matrix(batched, batch, m, n, false)),
                     {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST});
  }));
  Tensor y = call.in_as_described(DNNL_ARG_SRC, a).in_as_described(DNNL_ARG_WEIGHTS, b).out(DNNL_ARG_DST, Shape{batch, m, n});
  call.run();
  return y;
}

Tensor CpuBackend::linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (!ours(x) || !ours(weight)) return HostBackend::linear(x, weight, bias);
  if (x.size(0) <= small::kFewSamples) return small::linear(x, weight, bias, false);
  const std::int64_t n = x.size(0), k = x.size(1), m = weight.size(0);
  Call call(cached("linear", Key(Kind::matmul) << x.shape() << weight.shape() << bias.defined(), [&] {
    const Desc in = row_major({n, k}), transposed = matrix(false, 1, k, m, true), out = row_major({n, m});
    return bias.defined()
               ? Primitive(describe<dnnl::matmul>(in, transposed, row_major({1, m}), out),
                           {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST})
               : Primitive(describe<dnnl::matmul>(in, transposed, out), {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST});
  }));
  call.in_as_described(DNNL_ARG_SRC, x).in_as_described(DNNL_ARG_WEIGHTS, weight);
  if (bias.defined()) call.in_as_described(DNNL_ARG_BIAS, bias);
  Tensor y = call.out(DNNL_ARG_DST);
  call.run();
  return y;
}

Tensor CpuBackend::linear_relu(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (!ours(x) || !ours(weight)) return HostBackend::linear_relu(x, weight, bias);
  if (x.size(0) <= small::kFewSamples) return small::linear(x, weight, bias, true);
  Tensor y = linear(x, weight, bias);
  small::relu_in_place(y);
  return y;
}

}  // namespace heft
