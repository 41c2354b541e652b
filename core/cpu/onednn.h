// The one place that knows which oneDNN this is: 2.6 (Debian 12), 3.1 (Ubuntu 24.04) and 3.7 (Debian 13) look the same to
// the rest of core/cpu. What differs: 2.6 describes an operation (`desc`) and then a primitive, 3.x does both at once;
// batch norm's arguments; the class that pools and the one that does log-softmax; reading a memory::desc.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <cstdint>

namespace heft::onednn {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

const dnnl::engine& engine();
// This thread's.
const dnnl::stream& stream();
// Scratchpads come from our allocator, so that it counts them.
const dnnl::primitive_attr& user_scratchpad();

#if DNNL_VERSION_MAJOR >= 3

using PoolForward = dnnl::pooling_forward;
using PoolBackward = dnnl::pooling_backward;
using SoftmaxForward = dnnl::softmax_forward;
using SoftmaxBackward = dnnl::softmax_backward;
// Whether batch norm's backward pass must be given the shift it has no use for.
inline constexpr bool kBatchNormBackwardTakesShift = false;

template <class P, class... Args>
typename P::primitive_desc describe(const Args&... args) {
  return {engine(), args..., user_scratchpad()};
}
// For the primitives whose backward pass is told about the forward one.
template <class P, class Hint, class... Args>
typename P::primitive_desc describe_backward(const Hint& hint, const Args&... args) {
  return {engine(), args..., hint, user_scratchpad()};
}

inline auto describe_batch_norm(dnnl::prop_kind kind, const Desc& x, float eps, dnnl::normalization_flags flags) {
  return describe<dnnl::batch_normalization_forward>(kind, x, x, eps, flags);
}
inline auto describe_batch_norm_backward(const dnnl::batch_normalization_forward::primitive_desc& hint, const Desc& x,
                                         float eps, dnnl::normalization_flags flags) {
  return describe_backward<dnnl::batch_normalization_backward>(hint, dnnl::prop_kind::backward, x, x, x, eps, flags);
}

inline Dims dims_of(const Desc& d) { return d.get_dims(); }
inline Dims padded_dims_of(const Desc& d) { return d.get_padded_dims(); }
inline bool is_blocked(const Desc& d) { return d.get_format_kind() == dnnl::memory::format_kind::blocked; }
inline Dims strides_of(const Desc& d) { return d.get_strides(); }
inline Dims inner_blocks_of(const Desc& d) { return d.get_inner_blks(); }
inline Dims inner_axes_of(const Desc& d) { return d.get_inner_idxs(); }

#else

using PoolForward = dnnl::pooling_v2_forward;
using PoolBackward = dnnl::pooling_v2_backward;
using SoftmaxForward = dnnl::softmax_v2_forward;
using SoftmaxBackward = dnnl::softmax_v2_backward;
inline constexpr bool kBatchNormBackwardTakesShift = true;

template <class P, class... Args>
typename P::primitive_desc describe(const Args&... args) {
  return {typename P::desc(args...), user_scratchpad(), engine()};
}
template <class P, class Hint, class... Args>
typename P::primitive_desc describe_backward(const Hint& hint, const Args&... args) {
  return {typename P::desc(args...), user_scratchpad(), engine(), hint};
}

inline auto describe_batch_norm(dnnl::prop_kind kind, const Desc& x, float eps, dnnl::normalization_flags flags) {
  return describe<dnnl::batch_normalization_forward>(kind, x, eps, flags);
}
inline auto describe_batch_norm_backward(const dnnl::batch_normalization_forward::primitive_desc& hint, const Desc& x,
                                         float eps, dnnl::normalization_flags flags) {
  return describe_backward<dnnl::batch_normalization_backward>(hint, dnnl::prop_kind::backward, x, x, eps, flags);
}

inline Dims dims_of(const Desc& d) { return d.dims(); }
inline Dims padded_dims_of(const Desc& d) { return {d.data.padded_dims, d.data.padded_dims + d.data.ndims}; }
inline bool is_blocked(const Desc& d) { return d.data.format_kind == dnnl_blocked; }
inline Dims strides_of(const Desc& d) {
  const auto& strides = d.data.format_desc.blocking.strides;
  return {strides, strides + d.data.ndims};
}
inline Dims inner_blocks_of(const Desc& d) {
  const auto& blocking = d.data.format_desc.blocking;
  return {blocking.inner_blks, blocking.inner_blks + blocking.inner_nblks};
}
inline Dims inner_axes_of(const Desc& d) {
  const auto& blocking = d.data.format_desc.blocking;
  return {blocking.inner_idxs, blocking.inner_idxs + blocking.inner_nblks};
}

#endif

}  // namespace heft::onednn
