#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {

bool conv_tile_forward(const ConvShape& s, const ConvDevice& device, const float* x, const float* weight, const float* bias,
                       float* y) {
  TileProblem problem;
  if (s.groups != 1 || s.c % 4 != 0 || !describe_forward(s, problem)) return false;
  problem.plan.in = x, problem.plan.weight = weight, problem.plan.bias = bias, problem.plan.out = y;
  return problem.column ? run_tiles<true, true>(problem, device) : run_tiles<true, false>(problem, device);
}

}  // namespace heft::cuda
