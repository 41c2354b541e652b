#include "cuda/conv_wgmma_plan.h"

#include <cuda_runtime.h>

#include <algorithm>

namespace heft::cuda {
namespace {

int attribute(cudaDeviceAttr which) {
  int value = 0;
  HEFT_CUDA(cudaDeviceGetAttribute(&value, which, 0));
  return value;
}

// The driver is not linked: the runtime knows its functions.
using EncodeTiled = decltype(&cuTensorMapEncodeTiled);
EncodeTiled find_encode_tiled() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  HEFT_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found));
#else
  HEFT_CUDA(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found));
#endif
  if (found != cudaDriverEntryPointSuccess) check_status(cudaErrorNotSupported, "cuTensorMapEncodeTiled");
  return reinterpret_cast<EncodeTiled>(function);
}

template <int kRank>
CUtensorMap encode(const void* data, bool round, const int (&extents)[kRank], const int (&box)[kRank]) {
  static const EncodeTiled encode_tiled = find_encode_tiled();
  cuuint64_t sizes[kRank], strides[kRank];
  cuuint32_t boxes[kRank], steps[kRank];
  cuuint64_t stride = sizeof(float);
  for (int k = 0; k < kRank; ++k) {
    sizes[k] = static_cast<cuuint64_t>(extents[k]), boxes[k] = static_cast<cuuint32_t>(box[k]), steps[k] = 1;
    strides[k] = stride *= sizes[k];
  }
  CUtensorMap map{};
  // As this type values are rounded to the nearest TF32 on the way.
  const CUtensorMapDataType type = round ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 : CU_TENSOR_MAP_DATA_TYPE_INT32;
  const CUresult result =
      encode_tiled(&map, type, kRank, const_cast<void*>(data), sizes, strides, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                   CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) check_status(cudaErrorInvalidValue, "cuTensorMapEncodeTiled");
  return map;
}

}  // namespace

bool on_hopper() {
#ifdef HEFT_HOPPER
  static const bool hopper =
      attribute(cudaDevAttrComputeCapabilityMajor) == 9 && attribute(cudaDevAttrComputeCapabilityMinor) == 0;
  return hopper;
#else
  return false;
#endif
}

std::size_t wgmma_shared_limit(int resident) {
  static const int block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  static const int all = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  return static_cast<std::size_t>(std::min(block, all / resident - 1024));
}

WgmmaFit fit_wgmma(const WgmmaProblem& problem, int patches, int out, int resident) {
  WgmmaFit best;
  for (int patches_w = 1; patches_w <= patches; patches_w *= 2)
    for (int patches_h = 1; patches_w * patches_h <= patches; patches_h *= 2) {
      WgmmaFit fit;
      WgmmaPlan& p = fit.plan;
      p.bias = problem.bias, p.out = problem.out;
      p.images = problem.images, p.out_h = problem.out_h, p.out_w = problem.out_w, p.out_c = problem.out_c;
      p.kernel_h = problem.kernel_h, p.kernel_w = problem.kernel_w, p.pad_h = problem.pad_h, p.pad_w = problem.pad_w;
      p.dilation_h = problem.dilation_h, p.dilation_w = problem.dilation_w;
      p.patches_w = patches_w, p.patches_h = patches_h, p.patches_n = patches / patches_w / patches_h;
      p.tile_h = patches_h * 8 + (p.kernel_h - 1) * p.dilation_h, p.tile_w = patches_w * 8 + (p.kernel_w - 1) * p.dilation_w;
      p.tiles_h = ceil_div(p.out_h, patches_h * 8), p.tiles_w = ceil_div(p.out_w, patches_w * 8);
      p.chunks = ceil_div(problem.in_c, 32);
      p.in_box_bytes = p.tile_h * p.tile_w * p.patches_n * 128;
      p.in_stage_bytes = ceil_div(p.in_box_bytes, 1024) * 1024;
      p.in_stages = std::min(p.chunks, 2);
      const int steps = p.chunks * p.kernel_h * p.kernel_w, limit = static_cast<int>(wgmma_shared_limit(resident));
      const int rest = limit - 1024 - p.in_stages * (p.in_stage_bytes + 16);
      p.weight_stages = std::min({8, steps, rest / (out * 128 + 16)});
      fit.shared = static_cast<std::size_t>(1024 + p.in_stages * (p.in_stage_bytes + 16) + p.weight_stages * (out * 128 + 16));
      fit.blocks_x = p.tiles_h * p.tiles_w * ceil_div(p.images, p.patches_n), fit.blocks_y = ceil_div(p.out_c, out);
      const std::int64_t pixels = std::int64_t{p.images} * p.out_h * p.out_w;
      fit.fits = p.weight_stages >= std::min(steps, 3) && p.tile_h <= 256 && p.tile_w <= 256 && fit.blocks_y < 65536 &&
                 2 * pixels >= std::int64_t{fit.blocks_x} * patches * 64;
      if (fit.fits && (!best.fits || fit.blocks_x < best.blocks_x ||
                       (fit.blocks_x == best.blocks_x && p.in_box_bytes < best.plan.in_box_bytes)))
        best = fit;
    }
  return best;
}

CUtensorMap image_map(const void* data, bool round, int n, int h, int w, int c, int box_n, int box_h, int box_w) {
  return encode<4>(data, round, {c, w, h, n}, {32, box_w, box_h, box_n});
}

CUtensorMap weight_map(const void* data, bool round, int o, int taps, int c, int box_o) {
  return encode<3>(data, round, {c, taps, o}, {32, 1, box_o});
}

}  // namespace heft::cuda
