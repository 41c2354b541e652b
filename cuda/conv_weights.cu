// Weights of convolutions as kernels want to read them: turned around for the input's gradient, and in bf16, from the f32 that
// the optimizer keeps.
#include "cuda/conv.h"
#include "cuda/kernel.cuh"
#include "cuda/mma.cuh"

namespace heft::cuda {
namespace {

__global__ void __launch_bounds__(256) round_kernel(const float* weight, std::int64_t quarters, bf16* to) {
  const std::int64_t i = std::int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (i < quarters) store_4(to + i * 4, load_4(weight + i * 4));
}

// Blocks of 32 x 8 threads turn 32 x 32 values of a tap.
template <class T>
__global__ void __launch_bounds__(256) turn_kernel(const float* weight, T* turned, int in, int out, int taps) {
  __shared__ float tile[32][33];
  const int in0 = static_cast<int>(blockIdx.x) * 32, out0 = static_cast<int>(blockIdx.y) * 32;
  const int tap = static_cast<int>(blockIdx.z), x = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int k = threadIdx.y; k < 32; k += 8)
    if (out0 + k < out && in0 + x < in) tile[k][x] = weight[(std::int64_t{out0 + k} * taps + tap) * in + in0 + x];
  __syncthreads();
#pragma unroll
  for (int k = threadIdx.y; k < 32; k += 8)
    if (in0 + k < in && out0 + x < out)
      turned[(std::int64_t{in0 + k} * taps + taps - 1 - tap) * out + out0 + x] = static_cast<T>(tile[x][k]);
}

}  // namespace

template <class T>
void conv_turn_weights(const ConvShape& s, const ConvDevice& device, const float* weight, T* turned) {
  const dim3 grid(static_cast<unsigned>(ceil_div(s.c, 32)), static_cast<unsigned>(ceil_div(s.o, 32)),
                  static_cast<unsigned>(s.taps()));
  launch(turn_kernel<T>, grid, dim3(32, 8), 0, device.stream, weight, turned, s.c, s.o, s.taps());
}
template void conv_turn_weights<float>(const ConvShape&, const ConvDevice&, const float*, float*);
template void conv_turn_weights<bf16>(const ConvShape&, const ConvDevice&, const float*, bf16*);

void conv_round_weights(const ConvShape& s, const ConvDevice& device, const float* weight, bf16* rounded) {
  const std::int64_t quarters = s.weight_size() / 4;
  launch(round_kernel, static_cast<unsigned>((quarters + 255) / 256), 256, 0, device.stream, weight, quarters, rounded);
}

}  // namespace heft::cuda
