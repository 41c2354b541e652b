#include "train/learn_to_reweight.h"

#include <algorithm>

#include "autograd/jvp.h"

namespace heft::train {

MetaReweighter::Weighed LearnToReweight::weigh_batch(const Context& context) {
  const auto meta_gradients = meta_pass(context);
  Weighed result{.forward = forward(context), .shares = {}};
  double total = 0;
  for (const double u : differentiate(context, result.forward.losses, meta_gradients)) {
    result.shares.push_back(std::max(0.0, -u));
    total += result.shares.back();
  }
  if (total > 0)
    for (double& share : result.shares) share /= total;
  return result;
}

}  // namespace heft::train
