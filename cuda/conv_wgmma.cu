// Convolutions of stride 1 on Hopper's warpgroup products: block shapes and launches (the kernel: conv_wgmma_kernel.cuh). The
// input's gradient is a convolution of dy with the weights turned around (conv_weights.cu).
#include "cuda/conv_wgmma_plan.h"

#ifdef HEFT_HOPPER
#include "cuda/conv_wgmma_kernel.cuh"
#endif

namespace heft::cuda {

#ifdef HEFT_HOPPER
namespace {

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
  constexpr bool kRound = std::is_same_v<typename Config::Element, float>;
  conv_wgmma_kernel<Config><<<grid, Config::kThreads, run.fit.shared, stream>>>(
      image_map(s.in, kRound, s.images, s.in_h, s.in_w, s.in_c, p.patches_n, p.tile_h, p.tile_w),
      weight_map(s.weight, kRound, s.out_c, s.kernel_h * s.kernel_w, s.in_c, Config::kOut), p);
}

// With blocks of that shape if there are at least `least_blocks`.
template <class T, int kPatches, int kOut, int kWarpgroups, int kResident>
bool fit_run(WgmmaRun& run, int least_blocks) {
  using Config = WgmmaConfig<T, kPatches, kOut, kWarpgroups, kResident>;
  run.fit = fit_wgmma(run.problem, kPatches * kWarpgroups, kOut, kResident);
  if (!run.fit.fits || run.fit.blocks_x * run.fit.blocks_y < least_blocks) return false;
  run.launch = launch_wgmma<Config>;
  return true;
}

// The block shapes, as measured on an H200. Of 32 channels in bf16 half of what is multiplied are zeros.
template <class T>
bool find_run(WgmmaRun& run, const ConvDevice& device) {
  const WgmmaProblem& s = run.problem;
  constexpr int kLeast = std::is_same_v<T, bf16> ? 16 : 32;
  if (!on_hopper() || s.in_c % kLeast != 0 || s.out_c % 4 != 0 || s.kernel_h * s.kernel_w < 4) return false;
  if (s.images == 0 || s.in_h == 0 || s.in_w == 0 || s.out_h == 0 || s.out_w == 0) return false;
  const int wave = 9 * device.multiprocessors / 10;
  if (s.out_c > 64 && (fit_run<T, 1, 128, 2, 2>(run, 3 * wave / 2) || fit_run<T, 1, 128, 2, 1>(run, wave))) return true;
  if (s.out_c > 32)
    return fit_run<T, 2, 64, 2, 2>(run, 2 * wave) || fit_run<T, 1, 64, 2, 2>(run, 3 * wave / 2) ||
           fit_run<T, 1, 64, 1, 2>(run, wave / 2);
  return s.out_c > 16 && (fit_run<T, 1, 32, 2, 3>(run, 3 * wave / 2) || fit_run<T, 1, 32, 1, 3>(run, wave));
}

}  // namespace

template <class T>
bool conv_wgmma_forward(const ConvShape& s, const ConvDevice& device, const T* x, const T* weight, const float* bias, T* y) {
  constexpr int kUnit = 4 / sizeof(T);  // channels in 4 bytes
  if (s.groups != 1 || s.stride_h != 1 || s.stride_w != 1 || s.c % kUnit != 0) return false;
  WgmmaRun run;
  run.problem = WgmmaProblem{x,    weight, bias, y,    s.n,     s.h,     s.w,          s.c / kUnit, s.oh,
                             s.ow, s.o,    s.kh, s.kw, s.pad_h, s.pad_w, s.dilation_h, s.dilation_w};
  if (!find_run<T>(run, device)) return false;
  run.launch(run, device.stream);
  return true;
}

template <class T>
bool conv_wgmma_backward_input(const ConvShape& s, const ConvDevice& device, const T* dy, const T* turned, T* dx) {
  constexpr int kUnit = 4 / sizeof(T);
  if (s.groups != 1 || s.stride_h != 1 || s.stride_w != 1 || s.o % kUnit != 0) return false;
  const int pad_h = s.dilation_h * (s.kh - 1) - s.pad_h, pad_w = s.dilation_w * (s.kw - 1) - s.pad_w;
  WgmmaRun run;
  run.problem = WgmmaProblem{dy,  turned, nullptr, dx,   s.n,   s.oh,  s.ow,         s.o / kUnit, s.h,
                             s.w, s.c,    s.kh,    s.kw, pad_h, pad_w, s.dilation_h, s.dilation_w};
  if (!find_run<T>(run, device)) return false;
  if (turned) run.launch(run, device.stream);
  return true;
}
#else
template <class T>
bool conv_wgmma_forward(const ConvShape&, const ConvDevice&, const T*, const T*, const float*, T*) {
  return false;
}
template <class T>
bool conv_wgmma_backward_input(const ConvShape&, const ConvDevice&, const T*, const T*, T*) {
  return false;
}
#endif

#define HEFT_INSTANTIATE(T)                                                                                       \
  template bool conv_wgmma_forward<T>(const ConvShape&, const ConvDevice&, const T*, const T*, const float*, T*); \
  template bool conv_wgmma_backward_input<T>(const ConvShape&, const ConvDevice&, const T*, const T*, T*);
HEFT_INSTANTIATE(float)
HEFT_INSTANTIATE(bf16)
#undef HEFT_INSTANTIATE

}  // namespace heft::cuda
