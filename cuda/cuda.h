// Whether a GPU can be used. Every build has these functions; none of them throws.
#pragma once

#include <string>

namespace heft::cuda {

// True where Device::cuda() can hold tensors and compute on them: never in this version, which has no CUDA kernels.
bool is_available();
// GPUs that the CUDA runtime sees; 0 in a build without CUDA.
int device_count();
// One sentence, e.g. "built without CUDA; configure with -DHEFT_CUDA=ON". Empty where is_available().
std::string why_unavailable();

}  // namespace heft::cuda
