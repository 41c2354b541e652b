// Chooses block shapes for conv_tile.cuh and launches it. Internal to cuda/.
#pragma once

#include <type_traits>

#include "cuda/conv_tile_plan.h"
#include "cuda/kernel.cuh"
#include "cuda/status.h"

namespace heft::cuda {

// Bytes of shared memory that a block may have.
inline std::size_t shared_limit() {
  static const std::size_t bytes = [] {
    int value = 0;
    HEFT_CUDA(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    return static_cast<std::size_t>(value);
  }();
  return bytes;
}

// How Config would run the problem.
struct TileFit {
  TilePlan plan;
  std::size_t shared = 0;
  int blocks = 0;
  bool fits = false;
};

// Lays the problem out for blocks of Config's shape; `ahead`: pipeline steps that are fetched while one is computed.
template <class Config>
TileFit fit_tiles(TileProblem problem, std::size_t limit, int group_taps, int ahead) {
  cut_into_tiles(problem, Config::kWarpsM * Config::kRows, Config::kRows);
  TilePlan& p = problem.plan;
  int most_taps = 1, least_taps = kMaxTaps;
  for (int k = 0; k < problem.classes; ++k) {
    most_taps = std::max(most_taps, p.classes[k].taps);
    least_taps = std::min(least_taps, std::max(p.classes[k].taps, 1));
  }
  for (TileTap& tap : p.taps) tap.offset *= Config::kInPitch * 4, tap.weight *= Config::kChannelRows ? p.in_c : p.out_c;
  p.group_taps = std::min(group_taps, most_taps);
  const int chunks = ceil_div(p.in_c, Config::kChunk);
  ahead = std::min(ahead, ceil_div(most_taps, p.group_taps) * chunks - 1);
  p.weight_stages = ahead + 1;
  // The class with the fewest steps a chunk fetches the most chunks ahead.
  p.input_stages = std::min(chunks, 1 + ceil_div(ahead, ceil_div(least_taps, p.group_taps)));
  p.channel_tiles = ceil_div(p.out_c, Config::kChannels);
  p.by_channel_tiles = FastDivide(p.channel_tiles);
  TileFit fit;
  fit.plan = p;
  fit.shared = Config::shared_bytes(p);
  fit.blocks = p.tiles_h * p.tiles_w * image_tiles(p) * p.channel_tiles * problem.classes;
  fit.fits = fit.shared <= limit && image_tiles(p) < 65536 && p.channel_tiles * problem.classes < 65536;
  return fit;
}

template <class Config>
void launch_tiles(const TileProblem& problem, const TileFit& fit, cudaStream_t stream) {
  static const bool raised = [] {
    HEFT_CUDA(cudaFuncSetAttribute(conv_tile_kernel<Config>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_limit())));
    return true;
  }();
  static_cast<void>(raised);
  const TilePlan& p = fit.plan;
  const dim3 grid(static_cast<unsigned>(p.tiles_h * p.tiles_w), static_cast<unsigned>(image_tiles(p)),
                  static_cast<unsigned>(p.channel_tiles * problem.classes));
  launch(conv_tile_kernel<Config>, grid, dim3(Config::kThreads), fit.shared, stream, fit.plan);
}

// With Config's block shape if it makes at least `least_blocks`: false, and nothing launched, otherwise.
template <class Config>
bool try_tiles(const TileProblem& problem, const ConvDevice& device, int least_blocks, int group_taps = 3, int ahead = 2) {
  TileFit fit = fit_tiles<Config>(problem, shared_limit(), group_taps, ahead);
  if (!fit.fits && ahead > 1) fit = fit_tiles<Config>(problem, shared_limit(), group_taps, 1);
  if (!fit.fits || fit.blocks < least_blocks) return false;
  launch_tiles<Config>(problem, fit, device.stream);
  return true;
}

// The block shapes, for weights as forward (kForward) or as backward, as measured on an H200; the last of a kind of problem
// takes any size.
template <class T, bool kForward, bool kColumn>
bool run_tiles(const TileProblem& problem, const ConvDevice& device) {
  const int in_c = problem.plan.in_c, out_c = problem.plan.out_c, wave = device.multiprocessors;
  const int all = kMaxTaps;  // few channels: the weights of all taps at once
  if constexpr (std::is_same_v<T, bf16>)
    if (in_c <= 8) {
      if (out_c > 16) return try_tiles<TileConfig<T, 2, 1, 4, 2, 8, kForward, kColumn>>(problem, device, 0, all, 1);
      return try_tiles<TileConfig<T, 2, 1, 8, 1, 8, kForward, kColumn>>(problem, device, 2 * wave, all, 1) ||
             try_tiles<TileConfig<T, 2, 1, 4, 1, 8, kForward, kColumn>>(problem, device, 0, all, 1);
    }
  if (out_c <= 16) {
    if (in_c <= 16)
      return try_tiles<TileConfig<T, 2, 1, 8, 1, 16, kForward, kColumn>>(problem, device, 2 * wave, 3, 1) ||
             try_tiles<TileConfig<T, 2, 1, 4, 1, 16, kForward, kColumn>>(problem, device, 0);
    return try_tiles<TileConfig<T, 4, 1, 4, 1, 32, kForward, kColumn>>(problem, device, 2 * wave, in_c <= 32 ? all : 3) ||
           try_tiles<TileConfig<T, 2, 1, 4, 1, 32, kForward, kColumn>>(problem, device, 0);
  }
  if (out_c <= 32) {
    if (in_c > 16 && kColumn && kForward &&
        try_tiles<TileConfig<T, 2, 2, 4, 1, 32, kForward, kColumn>>(problem, device, 0, 3, 1))
      return true;
    if (in_c > 16 && !kColumn && try_tiles<TileConfig<T, 2, 1, 4, 2, 32, kForward, kColumn>>(problem, device, 0, 9, 1))
      return true;
    return try_tiles<TileConfig<T, 2, 1, 4, 2, 16, kForward, kColumn>>(problem, device, 0);
  }
  // With two blocks on a multiprocessor one multiplies while the other fetches; where there are not enough, longer steps.
  const int twice = 19 * wave / 10, once = 9 * wave / 10;
  if constexpr (kColumn) {
    using Wide = std::conditional_t<kForward, TileConfig<T, 4, 2, 4, 2, 16, kForward, kColumn>,
                                    TileConfig<T, 4, 4, 4, 1, 16, kForward, kColumn>>;
    if (try_tiles<Wide>(problem, device, twice, 3, 2) ||
        try_tiles<TileConfig<T, 4, 2, 2, 2, 32, kForward, kColumn>>(problem, device, twice, 3, 1) ||
        try_tiles<TileConfig<T, 4, 2, 4, 2, 16, kForward, kColumn>>(problem, device, once, 9, 1) ||
        try_tiles<TileConfig<T, 2, 2, 2, 2, 32, kForward, kColumn>>(problem, device, twice, 3, 1) ||
        try_tiles<TileConfig<T, 4, 2, 2, 2, 32, kForward, kColumn>>(problem, device, once, 3, 1))
      return true;
  } else if constexpr (kForward) {
    if (try_tiles<TileConfig<T, 4, 2, 4, 2, 16, kForward, kColumn>>(problem, device, once, 9, 1) ||
        try_tiles<TileConfig<T, 4, 2, 4, 2, 16, kForward, kColumn>>(problem, device, once, 3, 1) ||
        try_tiles<TileConfig<T, 2, 2, 4, 2, 16, kForward, kColumn>>(problem, device, once, 9, 1))
      return true;
  } else {
    if (try_tiles<TileConfig<T, 4, 2, 2, 2, 32, kForward, kColumn>>(problem, device, once, 3, 1)) return true;
  }
  return try_tiles<TileConfig<T, 2, 1, 4, 2, 32, kForward, kColumn>>(problem, device, 0, in_c <= 32 ? all : 9, 1) ||
         try_tiles<TileConfig<T, 2, 1, 4, 2, 16, kForward, kColumn>>(problem, device, 0);
}

}  // namespace heft::cuda
