// The products of cuBLAS and cuBLASLt that heft asks for, as plain loops. Operands are rounded as the kind of product has them.
#include <cublasLt.h>
#include <cublas_v2.h>

#include <vector>

#include "tests/ptx/memory.h"
#include "tests/ptx/operations.h"
#include "tests/ptx/options.h"
#include "tests/ptx/streams.h"

namespace ptx {
namespace {

struct Handle {
  Stream* stream = nullptr;
};

// Counting columns first, as cuBLAS does.
template <class T>
struct Matrix {
  T at(i64 row, i64 column) const { return transposed ? data[column + row * step] : data[row + column * step]; }
  const T* data;
  i64 step;
  bool transposed;
};

template <class T>
T rounded(T value, cublasComputeType_t type) {
  if constexpr (std::is_same_v<T, float>) {
    if (type == CUBLAS_COMPUTE_32F_FAST_TF32) return std::bit_cast<float>(round_to_tf32(std::bit_cast<u32>(value)));
    if (type == CUBLAS_COMPUTE_32F_FAST_16BF) return from_bf16(to_bf16(value));
  }
  return value;
}

// d (m, n) = a b, with k between them.
template <class T>
void multiply(i64 m, i64 n, i64 k, const Matrix<T>& a, const Matrix<T>& b, T* d, i64 step, cublasComputeType_t type) {
  const auto check = [](const Matrix<T>& matrix, i64 rows, i64 columns) {
    if (matrix.transposed) std::swap(rows, columns);
    check_memory(reinterpret_cast<u64>(matrix.data), sizeof(T) * static_cast<u64>((columns - 1) * matrix.step + rows));
  };
  if (m == 0 || n == 0) return;
  if (k > 0) check(a, m, k), check(b, k, n);
  check({d, step, false}, m, n);
  std::vector<T> left(static_cast<std::size_t>(m * k));  // columns next to each other
  std::vector<double> sums(static_cast<std::size_t>(m));
  for (i64 p = 0; p < k; ++p)
    for (i64 i = 0; i < m; ++i) left[static_cast<std::size_t>(p * m + i)] = rounded(a.at(i, p), type);
  for (i64 j = 0; j < n; ++j) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (i64 p = 0; p < k; ++p) {
      const double v = rounded(b.at(p, j), type);
      const T* column = left.data() + p * m;
      for (i64 i = 0; i < m; ++i) sums[static_cast<std::size_t>(i)] += static_cast<double>(column[i]) * v;
    }
    for (i64 i = 0; i < m; ++i) d[i + j * step] = static_cast<T>(sums[static_cast<std::size_t>(i)]);
  }
}

// What cuBLASLt's handles point to.
struct Description {
  cublasComputeType_t type;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  float* bias = nullptr;
};
struct Layout {
  i64 rows, columns, step;
};

template <class T>
Matrix<T> matrix(const void* data, i64 step, cublasOperation_t operation, i64 offset = 0) {
  return {static_cast<const T*>(data) + offset, step, operation != CUBLAS_OP_N};
}

}  // namespace
}  // namespace ptx

using namespace ptx;  // NOLINT: the names below are cuBLAS'

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(new Handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  reinterpret_cast<Handle*>(handle)->stream = reinterpret_cast<Stream*>(stream);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, std::size_t) { return CUBLAS_STATUS_SUCCESS; }
const char* cublasGetStatusName(cublasStatus_t) { return "a status of cuBLAS"; }

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transpose_a, cublasOperation_t transpose_b,
                                          int m, int n, int k, const void*, const void* a, cudaDataType type, int step_a,
                                          long long next_a, const void* b, cudaDataType, int step_b, long long next_b,
                                          const void*, void* c, cudaDataType, int step_c, long long next_c, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t) {
  const std::lock_guard lock(runtime_mutex());
  const auto queue = [&]<class T>(T) {
    queue_work(*reinterpret_cast<Handle*>(handle)->stream, [=] {
      for (i64 one = 0; one < batch; ++one)
        multiply<T>(m, n, k, matrix<T>(a, step_a, transpose_a, one * next_a), matrix<T>(b, step_b, transpose_b, one * next_b),
                    static_cast<T*>(c) + one * next_c, step_c, compute);
    });
  };
  if (type == CUDA_R_64F) queue(double{});
  else queue(float{});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new Handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t type, cudaDataType_t) {
  *description = reinterpret_cast<cublasLtMatmulDesc_t>(new Description{type});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t to, cublasLtMatmulDescAttributes_t which, const void* value,
                                              std::size_t) {
  auto& description = *reinterpret_cast<Description*>(to);
  switch (which) {
    case CUBLASLT_MATMUL_DESC_TRANSA: description.transpose_a = *static_cast<const cublasOperation_t*>(value); break;
    case CUBLASLT_MATMUL_DESC_TRANSB: description.transpose_b = *static_cast<const cublasOperation_t*>(value); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE: description.epilogue = *static_cast<const cublasLtEpilogue_t*>(value); break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: description.bias = *static_cast<float* const*>(value); break;
    default: fail("an attribute of cuBLASLt that the interpreter does not know: {}", static_cast<int>(which));
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t step) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{static_cast<i64>(rows), static_cast<i64>(columns), step});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t*, int* found) {
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t how, const void*, const void* a,
                              cublasLtMatrixLayout_t of_a, const void* b, cublasLtMatrixLayout_t of_b, const void*, const void*,
                              cublasLtMatrixLayout_t, void* d, cublasLtMatrixLayout_t of_d, const cublasLtMatmulAlgo_t*, void*,
                              std::size_t, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  queue_work(*reinterpret_cast<Stream*>(stream), [=, description = *reinterpret_cast<Description*>(how)] {
    const auto &at_a = *reinterpret_cast<Layout*>(of_a), &at_b = *reinterpret_cast<Layout*>(of_b),
               &at_d = *reinterpret_cast<Layout*>(of_d);
    const i64 k = description.transpose_a == CUBLAS_OP_N ? at_a.columns : at_a.rows;
    const auto left = matrix<float>(a, at_a.step, description.transpose_a),
               right = matrix<float>(b, at_b.step, description.transpose_b);
    auto* out = static_cast<float*>(d);
    multiply(at_d.rows, at_d.columns, k, left, right, out, at_d.step, description.type);
    for (i64 j = 0; j < at_d.columns; ++j) {
      if (description.epilogue == CUBLASLT_EPILOGUE_BIAS) {
        for (i64 i = 0; i < at_d.rows; ++i) out[i + j * at_d.step] += description.bias[i];
      } else if (description.epilogue == CUBLASLT_EPILOGUE_BGRADB) {
        double sum = 0;
        for (i64 p = 0; p < k; ++p) sum += right.at(p, j);
        description.bias[j] = static_cast<float>(sum);
      } else {
        fail("an epilogue of cuBLASLt that the interpreter does not know");
      }
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
