// The last block of a launch to finish goes on with what all of them left behind: two stages in one launch. Internal to cuda/.
#pragma once

namespace heft::cuda {

// Called by every thread of the block after its last write. True, in all threads of one block, where `blocks` blocks have come
// and this one was the last; what the others wrote before is there to be read, by __ldcg. `counter` starts and ends as 0.
__device__ inline bool arrives_last(unsigned* counter, unsigned blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicInc(counter, blocks - 1) == blocks - 1;  // wraps to 0 with the last
  __syncthreads();
  __threadfence();
  return last;
}

}  // namespace heft::cuda
