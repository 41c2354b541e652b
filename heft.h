// All of heft: #include <heft/heft.h>. Programs that compile often include what they use instead.
#pragma once

#include "autograd/variable.h"
#include "core/backend.h"
#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/layout.h"
#include "core/memory.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/random.h"
#include "core/shape.h"
#include "core/tensor.h"
#include "cuda/cuda.h"
