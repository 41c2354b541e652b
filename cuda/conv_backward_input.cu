#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {

bool conv_tile_backward_input(const ConvShape& s, const ConvDevice& device, const float* dy, const float* weight, float* dx) {
  TileProblem problem;
  if (s.groups != 1 || s.o % 4 != 0 || !describe_backward_input(s, problem)) return false;
  problem.plan.in = dy, problem.plan.weight = weight, problem.plan.out = dx;
  return problem.column ? run_tiles<false, true>(problem, device) : run_tiles<false, false>(problem, device);
}

}  // namespace heft::cuda
