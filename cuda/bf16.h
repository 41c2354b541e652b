// The element type of images kept in bf16 (cuda/layout.h). Internal to cuda/.
#pragma once

#include <cuda_bf16.h>

namespace heft::cuda {

using bf16 = __nv_bfloat16;

}  // namespace heft::cuda
