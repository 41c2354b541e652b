// Filling, copying (between devices too) and converting.
#include "core/convert.h"
#include "cuda/bf16.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/map.cuh"
#include "cuda/pinned.h"
#include "cuda/strided.cuh"

namespace heft {
namespace {

template <class From, class To>
void copy_on_device(const Tensor& source, Tensor& target) {
  const From* from = cuda::values<From>(source);
  To* to = cuda::values<To>(target);
  if (target.is_opaque() || (source.is_contiguous() && target.is_contiguous()))
    return cuda::map(
        "copy", target.buffer_elements(), to, [] __device__(From v) { return convert<From, To>(v); }, from);
  cuda::for_each_strided<2>("copy", target.shape(), {source.strides(), target.strides()},
                            [=] __device__(const std::int64_t(&at)[2]) { to[at[1]] = convert<From, To>(from[at[0]]); });
}

template <class T>
void fill_on_device(Tensor& x, double value) {
  T* p = cuda::values<T>(x);
  const T v = convert<double, T>(value);
  if (x.is_opaque()) return cuda::for_each("fill", x.buffer_elements(), [=] __device__(std::int64_t i) { p[i] = v; });
  cuda::for_each_strided<1>("fill", x.shape(), {x.strides()}, [=] __device__(const std::int64_t(&at)[1]) { p[at[0]] = v; });
}

void fill_in_bf16(Tensor& x, double value) {
  auto* p = cuda::values<cuda::bf16>(x);
  const auto v = static_cast<cuda::bf16>(static_cast<float>(value));
  cuda::for_each("fill", x.numel(), [=] __device__(std::int64_t i) { p[i] = v; });
}

// Memory of the CPU that is not pinned is read before the call returns.
void to_gpu(const Tensor& source, Tensor& target) {
  const Tensor dense = source.contiguous().astype(target.dtype());
  if (!target.is_contiguous()) {
    Tensor staged = Tensor::empty(target.shape(), target.dtype(), target.device());
    to_gpu(dense, staged);
    target.copy_(staged);
    return;
  }
  if (target.numel() == 0) return;
  cuda::check_not_captured();
  HEFT_CUDA(cudaMemcpyAsync(target.mutable_raw(), dense.raw(), cuda::bytes_of(target), cudaMemcpyHostToDevice, cuda::stream()));
}

void from_gpu(const Tensor& source, Tensor& target) {
  const Tensor dense = source.contiguous().astype(target.dtype());
  if (!target.is_contiguous()) {
    Tensor staged = Tensor::empty(target.shape(), target.dtype());
    from_gpu(dense, staged);
    target.copy_(staged);
    return;
  }
  if (target.numel() == 0) return;
  cuda::check_not_captured();
  HEFT_CUDA(cudaMemcpyAsync(target.mutable_raw(), dense.raw(), cuda::bytes_of(target), cudaMemcpyDeviceToHost, cuda::stream()));
  cuda::synchronize();
}

}  // namespace

void CudaBackend::fill(Tensor& x, double value) {
  if (value == 0 && (x.is_opaque() || x.is_contiguous())) {
    const auto bytes = static_cast<std::size_t>(x.buffer_elements()) * size_of(x.dtype());
    if (bytes > 0) HEFT_CUDA(cudaMemsetAsync(x.mutable_raw(), 0, bytes, cuda::stream()));
    return;
  }
  if (cuda::in_bf16(x)) return fill_in_bf16(x, value);
  dispatch_all(x.dtype(), [&]<class T>() { fill_on_device<T>(x, value); });
}

void CudaBackend::copy(const Tensor& source, Tensor& target) {
  if (source.device().is_cpu()) return to_gpu(source, target);
  if (target.device().is_cpu()) return from_gpu(source, target);
  dispatch_all(source.dtype(), [&]<class From>() {
    dispatch_all(target.dtype(), [&]<class To>() { copy_on_device<From, To>(source, target); });
  });
}

Tensor CudaBackend::cast(const Tensor& x, DType dtype) {
  Tensor y = Tensor::empty(x.shape(), dtype, x.device());
  copy(x, y);
  return y;
}

}  // namespace heft
