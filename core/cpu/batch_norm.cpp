// Batch normalisation, in the layout the input arrives in: by our own loops where they know it, else by oneDNN.
#include <bit>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/norm_kernels.h"
#include "core/cpu/primitive.h"

namespace heft {
namespace {

using namespace onednn;

const auto kScaleShift = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
constexpr auto kTraining = dnnl::prop_kind::forward_training;

Key key_of(Kind kind, const Tensor& x, double eps) { return Key(kind) << x << std::bit_cast<std::int64_t>(eps); }

std::optional<norm::Walk> walk_of(const Tensor& x) { return ours(x) ? norm::walk_of(x) : std::nullopt; }

}  // namespace

BatchNormResult CpuBackend::batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  if (!ours(x)) return reference_backend().batch_norm_train(x, gamma, beta, eps);
  NormFusion none;
  if (const auto walk = walk_of(x)) return norm::train(*walk, x, gamma, beta, eps, none);
  Call call(cached("batch_norm", key_of(Kind::norm_train, x, eps), [&] {
    return Primitive(describe_batch_norm(kTraining, desc_of(x), static_cast<float>(eps), kScaleShift),
                     {DNNL_ARG_SRC, DNNL_ARG_SCALE, DNNL_ARG_SHIFT, DNNL_ARG_DST, DNNL_ARG_MEAN, DNNL_ARG_VARIANCE});
  }));
  call.in(DNNL_ARG_SRC, x).in(DNNL_ARG_SCALE, gamma).in(DNNL_ARG_SHIFT, beta);
  BatchNormResult result{call.out(DNNL_ARG_DST), call.out(DNNL_ARG_MEAN), call.out(DNNL_ARG_VARIANCE)};
  call.run();
  return result;
}

Tensor CpuBackend::batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                   const Tensor& variance, double eps) {
  if (!ours(x)) return reference_backend().batch_norm_eval(x, gamma, beta, mean, variance, eps);
  if (const auto walk = walk_of(x)) return norm::eval(*walk, x, gamma, beta, mean, variance, eps, {}, false);
  Call call(cached("batch_norm", key_of(Kind::norm_eval, x, eps), [&] {
    return Primitive(describe_batch_norm(dnnl::prop_kind::forward_inference, desc_of(x), static_cast<float>(eps),
                                         kScaleShift | dnnl::normalization_flags::use_global_stats),
                     {DNNL_ARG_SRC, DNNL_ARG_SCALE, DNNL_ARG_SHIFT, DNNL_ARG_MEAN, DNNL_ARG_VARIANCE, DNNL_ARG_DST});
  }));
  call.in(DNNL_ARG_SRC, x).in(DNNL_ARG_SCALE, gamma).in(DNNL_ARG_SHIFT, beta);
  Tensor y = call.in(DNNL_ARG_MEAN, mean).in(DNNL_ARG_VARIANCE, variance).out(DNNL_ARG_DST);
  call.run();
  return y;
}

BatchNormGradients CpuBackend::batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                                   const Tensor& variance, double eps) {
  if (!ours(x)) return reference_backend().batch_norm_backward(dy, x, gamma, mean, variance, eps);
  if (const auto walk = walk_of(x))
    return norm::backward(*walk, to_layout(dy, x.layout()), {{}, mean, variance}, x, gamma, {}, eps, false, false);
  Call call(cached("batch_norm", key_of(Kind::norm_backward, x, eps), [&] {
    const Desc desc = desc_of(x);
    const auto e = static_cast<float>(eps);
    // The last argument is listed for the versions that take it; asking for its description does no harm to the others.
    return Primitive(describe_batch_norm_backward(describe_batch_norm(kTraining, desc, e, kScaleShift), desc, e, kScaleShift),
                     {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_MEAN, DNNL_ARG_VARIANCE, DNNL_ARG_SCALE, DNNL_ARG_DIFF_SRC,
                      DNNL_ARG_DIFF_SCALE, DNNL_ARG_DIFF_SHIFT, DNNL_ARG_SHIFT});
  }));
  call.in(DNNL_ARG_SRC, x).in(DNNL_ARG_DIFF_DST, dy).in(DNNL_ARG_SCALE, gamma);
  call.in(DNNL_ARG_MEAN, mean).in(DNNL_ARG_VARIANCE, variance);
  if (kBatchNormBackwardTakesShift) call.in(DNNL_ARG_SHIFT, gamma);  // any vector of the size: its values are not used
  BatchNormGradients gradients{call.out(DNNL_ARG_DIFF_SRC), call.out(DNNL_ARG_DIFF_SCALE), call.out(DNNL_ARG_DIFF_SHIFT)};
  call.run();
  return gradients;
}

BatchNormResult CpuBackend::batch_norm_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                             NormFusion& fusion) {
  const auto walk = walk_of(x);
  if (!walk) return HostBackend::batch_norm_fused(x, gamma, beta, eps, fusion);
  NormFusion here = fusion;
  if (here.residual.defined()) here.residual = to_layout(here.residual, x.layout());
  return norm::train(*walk, x, gamma, beta, eps, here);
}

Tensor CpuBackend::batch_norm_eval_fused(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                         const Tensor& variance, double eps, const Tensor& residual, bool relu) {
  const auto walk = walk_of(x);
  if (!walk) return HostBackend::batch_norm_eval_fused(x, gamma, beta, mean, variance, eps, residual, relu);
  return norm::eval(*walk, x, gamma, beta, mean, variance, eps, residual.defined() ? to_layout(residual, x.layout()) : Tensor{},
                    relu);
}

BatchNormGradients CpuBackend::batch_norm_fused_backward(Tensor dy, const BatchNormResult& forward, const Tensor& x,
                                                         const Tensor& gamma, const Tensor& beta, double eps, bool relu,
                                                         bool want_residual) {
  const auto walk = walk_of(x);
  if (!walk) return HostBackend::batch_norm_fused_backward(std::move(dy), forward, x, gamma, beta, eps, relu, want_residual);
  dy = to_layout(dy, x.layout());
  const Tensor kept = forward.kept.defined() ? to_layout(forward.kept, x.layout()) : Tensor{};
  return norm::backward(*walk, std::move(dy), {{}, forward.mean, forward.variance, kept}, x, gamma, beta, eps, relu,
                        want_residual);
}

}  // namespace heft
