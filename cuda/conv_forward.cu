#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {
template <class T>
bool conv_tile_forward(const ConvShape& s, const ConvDevice& device, const T* x, const T* weight, const float* bias, T* y) {
  constexpr int kUnit = 4 / sizeof(T);  // channels in 4 bytes
  ConvShape units = s;
  units.c /= kUnit;
  TileProblem problem;
  if (s.groups != 1 || s.c % (4 * kUnit) != 0 || !describe_forward(units, problem)) return false;
  problem.plan.in = reinterpret_cast<const float*>(x), problem.plan.weight = reinterpret_cast<const float*>(weight);
  problem.plan.bias = bias, problem.plan.out = y;
  return problem.column ? run_tiles<T, true, true>(problem, device) : run_tiles<T, true, false>(problem, device);
}

template bool conv_tile_forward<float>(const ConvShape&, const ConvDevice&, const float*, const float*, const float*, float*);
template bool conv_tile_forward<bf16>(const ConvShape&, const ConvDevice&, const bf16*, const bf16*, const float*, bf16*);

}  // namespace heft::cuda
