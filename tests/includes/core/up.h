// Planted for includes.planted_violations: core looks up the house.
#include "autograd/variable.h"
