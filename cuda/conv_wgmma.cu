// Convolutions of stride 1 on Hopper's warpgroup products: block shapes and launches (the kernel: conv_wgmma_kernel.cuh). The
// input's gradient is a convolution of dy with the weights turned around, which a small kernel writes out.
#include "cuda/conv_wgmma_plan.h"

#ifdef HEFT_HOPPER
#include "cuda/conv_wgmma_kernel.cuh"
#endif

namespace heft::cuda {

#ifdef HEFT_HOPPER
namespace {

// (in, tap, out) with the taps in reverse, from (out, tap, in). Blocks of 32 x 8 threads turn 32 x 32 values.
__global__ void __launch_bounds__(256) turn_weights_kernel(const float* weight, float* turned, int in, int out, int taps) {
  __shared__ float tile[32][33];
  const int in0 = static_cast<int>(blockIdx.x) * 32, out0 = static_cast<int>(blockIdx.y) * 32;
  const int tap = static_cast<int>(blockIdx.z), x = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int k = threadIdx.y; k < 32; k += 8)
    if (out0 + k < out && in0 + x < in) tile[k][x] = weight[(std::int64_t{out0 + k} * taps + tap) * in + in0 + x];
  __syncthreads();
#pragma unroll
  for (int k = threadIdx.y; k < 32; k += 8)
    if (in0 + k < in && out0 + x < out) turned[(std::int64_t{in0 + k} * taps + taps - 1 - tap) * out + out0 + x] = tile[x][k];
}

// How a convolution is computed: a plan and the launch that goes with it.
struct WgmmaRun {
  WgmmaProblem problem{};
  WgmmaFit fit{};
  void (*launch)(const WgmmaRun&, cudaStream_t) = nullptr;
};

template <class Config>
void launch_wgmma(const WgmmaRun& run, cudaStream_t stream) {
  static const bool raised = [] {
    HEFT_CUDA(cudaFuncSetAttribute(conv_wgmma_kernel<Config>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(wgmma_shared_limit(1))));
    return true;
  }();
  static_cast<void>(raised);
  const WgmmaProblem& s = run.problem;
  const WgmmaPlan& p = run.fit.plan;
  const dim3 grid(static_cast<unsigned>(run.fit.blocks_x), static_cast<unsigned>(run.fit.blocks_y));
  conv_wgmma_kernel<Config><<<grid, Config::kThreads, run.fit.shared, stream>>>(
      image_map(s.in, s.images, s.in_h, s.in_w, s.in_c, p.patches_n, p.tile_h, p.tile_w),
      weight_map(s.weight, s.out_c, s.kernel_h * s.kernel_w, s.in_c, Config::kOut), p);
}

// With blocks of that shape if there are at least `least_blocks`.
template <int kPatches, int kOut, int kWarpgroups, int kResident>
bool fit_run(WgmmaRun& run, int least_blocks) {
  using Config = WgmmaConfig<kPatches, kOut, kWarpgroups, kResident>;
  run.fit = fit_wgmma(run.problem, kPatches * kWarpgroups, kOut, kResident);
  if (!run.fit.fits || run.fit.blocks_x * run.fit.blocks_y < least_blocks) return false;
  run.launch = launch_wgmma<Config>;
  return true;
}

// The block shapes, as measured on an H200.
bool find_run(WgmmaRun& run, const ConvDevice& device) {
  const WgmmaProblem& s = run.problem;
  if (!on_hopper() || s.in_c % 32 != 0 || s.out_c % 4 != 0 || s.kernel_h * s.kernel_w < 4) return false;
  if (s.images == 0 || s.in_h == 0 || s.in_w == 0 || s.out_h == 0 || s.out_w == 0) return false;
  const int wave = 9 * device.multiprocessors / 10;
  if (s.out_c > 64 && (fit_run<1, 128, 2, 2>(run, 3 * wave / 2) || fit_run<1, 128, 2, 1>(run, wave))) return true;
  if (s.out_c > 32)
    return fit_run<2, 64, 2, 2>(run, 2 * wave) || fit_run<1, 64, 2, 2>(run, 3 * wave / 2) ||
           fit_run<1, 64, 1, 2>(run, wave / 2);
  return s.out_c > 16 && (fit_run<1, 32, 2, 3>(run, 3 * wave / 2) || fit_run<1, 32, 1, 3>(run, wave));
}

}  // namespace

bool conv_wgmma_forward(const ConvShape& s, const ConvDevice& device, const float* x, const float* weight, const float* bias,
                        float* y) {
  if (s.groups != 1 || s.stride_h != 1 || s.stride_w != 1) return false;
  WgmmaRun run;
  run.problem = {x,    weight, bias, y,    s.n,     s.h,     s.w,          s.c,         s.oh,
                 s.ow, s.o,    s.kh, s.kw, s.pad_h, s.pad_w, s.dilation_h, s.dilation_w};
  if (!find_run(run, device)) return false;
  run.launch(run, device.stream);
  return true;
}

bool conv_wgmma_backward_input(const ConvShape& s, const ConvDevice& device, const float* dy, const float* weight, float* dx,
                               float* workspace) {
  if (s.groups != 1 || s.stride_h != 1 || s.stride_w != 1) return false;
  const int pad_h = s.dilation_h * (s.kh - 1) - s.pad_h, pad_w = s.dilation_w * (s.kw - 1) - s.pad_w;
  WgmmaRun run;
  run.problem = {dy,  workspace, nullptr, dx,   s.n,   s.oh,  s.ow,         s.o,         s.h,
                 s.w, s.c,       s.kh,    s.kw, pad_h, pad_w, s.dilation_h, s.dilation_w};
  if (!find_run(run, device)) return false;
  if (!workspace) return true;
  const dim3 grid(static_cast<unsigned>((s.c + 31) / 32), static_cast<unsigned>((s.o + 31) / 32),
                  static_cast<unsigned>(s.taps()));
  turn_weights_kernel<<<grid, dim3(32, 8), 0, device.stream>>>(weight, workspace, s.c, s.o, s.taps());
  run.launch(run, device.stream);
  return true;
}
#else
bool conv_wgmma_forward(const ConvShape&, const ConvDevice&, const float*, const float*, const float*, float*) { return false; }
bool conv_wgmma_backward_input(const ConvShape&, const ConvDevice&, const float*, const float*, float*, float*) {
  return false;
}
#endif

}  // namespace heft::cuda
