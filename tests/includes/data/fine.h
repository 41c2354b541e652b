// Planted for includes.planted_violations: nothing is wrong here.
#include <vector>

#include "core/tensor.h"
