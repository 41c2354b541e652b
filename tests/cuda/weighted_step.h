// A step of training as the tests of a GPU do it again and again.
#pragma once

#include "layers/losses.h"
#include "layers/module.h"
#include "optim/optimizer.h"

namespace heft::test {

// Forward, cross entropy, the optimizer's weights, backward, update. Returns the losses, (N).
inline Tensor weighted_step(Module& net, optim::Optimizer& opt, const Tensor& images, const Tensor& labels) {
  const Variable losses = cross_entropy(net(images), labels);
  opt.zero_grad();
  backward(opt.reduce(losses));
  opt.step();
  return losses.value();
}

}  // namespace heft::test
