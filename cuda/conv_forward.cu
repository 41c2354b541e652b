#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
namespace {

template <class T>
bool forward(const ConvShape& s, const ConvDevice& device, const T* x, const T* weight, const float* bias, T* y) {
  constexpr int kUnit = 4 / sizeof(T);  // channels in 4 bytes
  ConvShape units = s;
  units.c /= kUnit;
  TileProblem problem;
  if (s.groups != 1 || s.c % (4 * kUnit) != 0 || !describe_forward(units, problem)) return false;
  problem.plan.in = reinterpret_cast<const float*>(x), problem.plan.weight = reinterpret_cast<const float*>(weight);
  problem.plan.bias = bias, problem.plan.out = y;
  return problem.column ? run_tiles<T, true, true>(problem, device) : run_tiles<T, true, false>(problem, device);
}

}  // namespace

bool conv_tile_forward(const ConvShape& s, const ConvDevice& device, const float* x, const float* weight, const float* bias,
                       float* y) {
  return forward(s, device, x, weight, bias, y);
}
bool conv_tile_forward(const ConvShape& s, const ConvDevice& device, const bf16* x, const bf16* weight, const float* bias,
                       bf16* y) {
  return forward(s, device, x, weight, bias, y);
}

}  // namespace heft::cuda
