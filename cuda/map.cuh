// out[i] = f(in[i]...) over dense buffers, 16 bytes at a time where they lie so. Internal to cuda/.
#pragma once

#include "cuda/launch.cuh"

namespace heft::cuda {

template <int V, class Out, class F, class... In>
__global__ void map_kernel(std::int64_t n, Out* out, F f, const In*... in) {
  const std::int64_t first = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, step = std::int64_t{gridDim.x} * blockDim.x;
  const std::int64_t whole = n / V;
  for (std::int64_t i = first; i < whole; i += step) {
    const auto apply = [&](const auto&... packs) {
      Pack<Out, V> result;
#pragma unroll
      for (int k = 0; k < V; ++k) result.v[k] = f(packs.v[k]...);
      reinterpret_cast<Pack<Out, V>*>(out)[i] = result;
    };
    apply(reinterpret_cast<const Pack<In, V>*>(in)[i]...);
  }
  for (std::int64_t i = whole * V + first; i < n; i += step) out[i] = f(in[i]...);
}

template <class Out, class F, class... In>
void map(const char* op, std::int64_t n, Out* out, const F& f, const In*... in) {
  if (n == 0) return;
  constexpr int kPack = 16 / static_cast<int>(std::max({sizeof(Out), sizeof(In)...}));
  const auto aligned = [](const void* p, std::size_t size) {
    return reinterpret_cast<std::uintptr_t>(p) % (kPack * size) == 0;
  };
  if (aligned(out, sizeof(Out)) && (aligned(in, sizeof(In)) && ...))
    launch(map_kernel<kPack, Out, F, In...>, blocks_for(n, kPack), kThreads, 0, stream(), n, out, f, in...);
  else launch(map_kernel<1, Out, F, In...>, blocks_for(n), kThreads, 0, stream(), n, out, f, in...);
  launched(op);
}

}  // namespace heft::cuda
