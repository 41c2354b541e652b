// What a machine allows: the bare oneDNN primitives of a network's step, and the rate of a large matrix product. heft's own
// step is measured against them (bench/compare.py --bare).
#pragma once

#include <functional>

#include "core/tensor.h"
#include "layers/module.h"

namespace heft::bench {

// A step of `net` on `images` as nothing but oneDNN's convolutions, batch norms, poolings and inner products, forward and,
// where it trains, backward, one after the other. Each is in the formats that it prefers, and with its ReLU where it can have
// one; all memory is there beforehand, its own for every activation, gradient and weight. What is left out: loss, update,
// residual sums, ReLUs by themselves, and every copy from the format of one primitive to that of the next. The values are
// random ones. The layers are those that the network is seen to run once. Throws ValueError in a build without oneDNN.
std::function<void()> bare_step(Module& net, const Tensor& images, bool trains);

// GFLOP/s of a 2048 x 2048 x 2048 product in f32 on all threads, the best of several; 0 in a build without oneDNN.
double sgemm_rate();

}  // namespace heft::bench
