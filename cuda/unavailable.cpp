// The seam in a build without CUDA.
#include "core/backend.h"
#include "core/check.h"
#include "core/memory.h"
#include "cuda/cuda.h"

namespace heft {

namespace cuda {
bool is_available() { return false; }
int device_count() { return 0; }
int multiprocessors() { return 0; }
std::string why_unavailable() { return "built without CUDA; configure with -DHEFT_CUDA=ON"; }
void synchronize() {}
}  // namespace cuda

Backend& cuda_backend() { fail<DeviceError>("cuda", "{}", cuda::why_unavailable()); }
Allocator& cuda_allocator(int) { fail<DeviceError>("cuda", "{}", cuda::why_unavailable()); }

}  // namespace heft
