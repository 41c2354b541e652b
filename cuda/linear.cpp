// Linear layers on cuBLASLt, whose products add a bias or sum one up on the way. It counts columns first: a row-major (N, M) is
// its (M, N).
#include <cublasLt.h>

#include <map>
#include <mutex>
#include <tuple>

#include "core/check.h"
#include "cuda/cuda.h"
#include "cuda/cuda_backend.h"
#include "cuda/status.h"
#include "cuda/stream.h"

namespace heft {
namespace {

constexpr std::size_t kWorkspace = 8u << 20;

cublasLtHandle_t handle() {
  static const cublasLtHandle_t one = [] {
    cublasLtHandle_t made = nullptr;
    HEFT_CUDA(cublasLtCreate(&made));
    return made;
  }();
  return one;
}

void* workspace() {
  static void* const one = [] {
    void* made = nullptr;
    HEFT_CUDA(cudaMalloc(&made, kWorkspace));
    return made;
  }();
  return one;
}

struct Matrix {
  std::int64_t rows, columns, step;  // column-major: from one column to the next
};

// d (m, n) = op(a) op(b), f32, with an epilogue that reads or writes the bias. Descriptions and the algorithm are kept.
struct Product {
  Product(bool transpose_a, bool transpose_b, const Matrix& a, const Matrix& b, const Matrix& d, cublasLtEpilogue_t epilogue,
          cuda::Precision precision) {
    HEFT_CUDA(cublasLtMatmulDescCreate(&operation, cuda::compute_type(precision), CUDA_R_32F));
    const cublasOperation_t left = transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, right = transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(CUBLASLT_MATMUL_DESC_TRANSA, left);
    set(CUBLASLT_MATMUL_DESC_TRANSB, right);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    const auto describe = [](cublasLtMatrixLayout_t& layout, const Matrix& m) {
      HEFT_CUDA(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, static_cast<std::uint64_t>(m.rows),
                                           static_cast<std::uint64_t>(m.columns), m.step));
    };
    describe(layout_a, a), describe(layout_b, b), describe(layout_d, d);
    cublasLtMatmulPreference_t preference = nullptr;
    HEFT_CUDA(cublasLtMatmulPreferenceCreate(&preference));
    HEFT_CUDA(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace,
                                                   sizeof kWorkspace));
    // Tensors are views: an algorithm that asks for more than their elements' alignment may not be chosen.
    const std::uint32_t alignment = 4;
    for (const auto what : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      HEFT_CUDA(cublasLtMatmulPreferenceSetAttribute(preference, what, &alignment, sizeof alignment));
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle(), operation, layout_a, layout_b, layout_d, layout_d,
                                                                 preference, 1, &algorithm, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    usable = status == CUBLAS_STATUS_SUCCESS && found == 1;
  }
  template <class T>
  void set(cublasLtMatmulDescAttributes_t what, const T& value) {
    HEFT_CUDA(cublasLtMatmulDescSetAttribute(operation, what, &value, sizeof value));
  }
  void run(const void* a, const void* b, void* d, const void* bias) {
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const float one = 1, zero = 0;
    HEFT_CUDA(cublasLtMatmul(handle(), operation, &one, a, layout_a, b, layout_b, &zero, d, layout_d, d, layout_d,
                             &algorithm.algo, workspace(), kWorkspace, cuda::stream()));
  }

  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t layout_a = nullptr, layout_b = nullptr, layout_d = nullptr;
  cublasLtMatmulHeuristicResult_t algorithm{};
  bool usable = false;
};

enum class Kind { forward, weight };

// One for each shape, never destroyed: a network has few.
Product& product(Kind kind, std::int64_t n, std::int64_t k, std::int64_t m) {
  using Key = std::tuple<Kind, std::int64_t, std::int64_t, std::int64_t, cuda::Precision>;
  static auto& mutex = *new std::mutex;
  static auto& products = *new std::map<Key, Product>;
  const std::lock_guard lock(mutex);
  const Key key{kind, n, k, m, cuda::precision()};
  if (const auto found = products.find(key); found != products.end()) return found->second;
  const Matrix x{k, n, k}, y{m, n, m}, weight{k, m, k};
  if (kind == Kind::forward)  // y = weight' x
    return products.try_emplace(key, true, false, weight, x, y, CUBLASLT_EPILOGUE_BIAS, cuda::precision()).first->second;
  // dweight (k, m) = x dy'; the gradient of the bias is what dy sums up to over n.
  return products.try_emplace(key, false, true, x, y, weight, CUBLASLT_EPILOGUE_BGRADB, cuda::precision()).first->second;
}

bool fits(const Tensor& x, std::int64_t m) {
  return x.dtype() == DType::f32 && std::max({x.size(0), x.size(1), m}) < (1 << 24);
}

}  // namespace

Tensor CudaBackend::linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const std::int64_t n = x.size(0), k = x.size(1), m = weight.size(0);
  if (!bias.defined() || !fits(x, m)) return Backend::linear(x, weight, bias);
  Product& forward = product(Kind::forward, n, k, m);
  if (!forward.usable) return Backend::linear(x, weight, bias);
  Tensor y = Tensor::empty({n, m}, x.dtype(), x.device());
  forward.run(weight.raw(), x.raw(), y.mutable_raw(), bias.raw());
  return y;
}

WeightGradients CudaBackend::linear_backward_weight(const Tensor& dy, const Tensor& x, bool want_bias) {
  const std::int64_t n = x.size(0), k = x.size(1), m = dy.size(1);
  if (!want_bias || !fits(x, m)) return Backend::linear_backward_weight(dy, x, want_bias);
  Product& backward = product(Kind::weight, n, k, m);
  if (!backward.usable) return Backend::linear_backward_weight(dy, x, want_bias);
  WeightGradients gradients{Tensor::empty({m, k}, x.dtype(), x.device()), Tensor::empty({m}, x.dtype(), x.device())};
  backward.run(x.raw(), dy.raw(), gradients.weight.mutable_raw(), gradients.bias.mutable_raw());
  return gradients;
}

}  // namespace heft
