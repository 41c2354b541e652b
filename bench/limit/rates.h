// What a device does at its best.
#pragma once

namespace heft::bench {

struct Rates {
  double tf32 = 0, bf16 = 0;  // operations a second of a large matrix product
  double copy = 0;            // bytes a second of a large copy, read and written
  double launch = 0;          // seconds from one empty kernel of a CUDA graph to the next
};

// Of the GPU, in a build with CUDA: bench/cuda/rates.cu. Takes a second or two and 2 GiB of its memory. Throws
// std::runtime_error naming the call that failed.
Rates measure_rates();

}  // namespace heft::bench
