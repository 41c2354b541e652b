#include "cuda/conv_tile_launch.cuh"

namespace heft::cuda {

bool conv_tile_backward_input(const ConvShape& s, const ConvDevice& device, const float* dy, const float* weight, float* dx) {
  TileProblem problem;
  if (s.groups != 1 || s.o % 4 != 0 || !describe_backward_input(s, problem)) return false;
  problem.plan.in = dy, problem.plan.weight = weight, problem.plan.out = dx;
  return problem.column ? run_tiles<float, false, true>(problem, device) : run_tiles<float, false, false>(problem, device);
}

bool conv_tile_backward_input(const ConvShape& s, const ConvDevice& device, const bf16* dy, const bf16* turned, bf16* dx) {
  ConvShape units = s;
  units.o /= 2;
  TileProblem problem;
  if (s.groups != 1 || s.o % 8 != 0 || !describe_backward_input(units, problem)) return false;
  problem.plan.in = reinterpret_cast<const float*>(dy), problem.plan.weight = reinterpret_cast<const float*>(turned);
  problem.plan.out = dx;
  // Weights turned as forward ones are (in, tap, out), the taps in reverse.
  problem.plan.weight_pitch = s.taps() * units.o;
  for (TileProblem::Tap& tap : problem.taps) tap.weight = s.taps() - 1 - tap.weight;
  return problem.column ? run_tiles<bf16, true, true>(problem, device) : run_tiles<bf16, true, false>(problem, device);
}

}  // namespace heft::cuda
