// Matrix products on cuBLAS, which counts columns first: row-major C = A B is column-major C' = B' A'.
#include <algorithm>

#include "core/check.h"
#include "cuda/cuda.h"
#include "cuda/cuda_backend.h"
#include "cuda/status.h"
#include "cuda/stream.h"

namespace heft {

Tensor CudaBackend::matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const std::int64_t batch = std::max(a.size(0), b.size(0)), m = a.size(transpose_a ? 2 : 1), k = a.size(transpose_a ? 1 : 2),
                     n = b.size(transpose_b ? 1 : 2);
  check<ShapeError>(std::max({m, n, k, batch}) < (std::int64_t{1} << 31), "matmul",
                    "expected extents below 2^31 on a GPU; got {} and {}", a.shape(), b.shape());
  Tensor y = Tensor::empty({batch, m, n}, a.dtype(), a.device());
  const auto of = [](std::int64_t extent) { return static_cast<int>(extent); };
  const cublasOperation_t left = transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, right = transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  const int ldb = of(b.size(2)), lda = of(a.size(2));
  const std::int64_t step_a = a.size(0) == 1 ? 0 : m * k, step_b = b.size(0) == 1 ? 0 : k * n;
  const bool wide = a.dtype() == DType::f64;
  const cudaDataType type = wide ? CUDA_R_64F : CUDA_R_32F;
  const cublasComputeType_t compute = wide ? CUBLAS_COMPUTE_64F : cuda::compute_type(cuda::precision());
  const float one = 1, zero = 0;
  const double wide_one = 1, wide_zero = 0;
  const void* alpha = wide ? static_cast<const void*>(&wide_one) : &one;
  const void* beta = wide ? static_cast<const void*>(&wide_zero) : &zero;
  HEFT_CUDA(cublasGemmStridedBatchedEx(cuda::cublas(), left, right, of(n), of(m), of(k), alpha, b.raw(), type, ldb, step_b,
                                       a.raw(), type, lda, step_a, beta, y.mutable_raw(), type, of(n), m * n, of(batch),
                                       compute, CUBLAS_GEMM_DEFAULT));
  return y;
}

}  // namespace heft
