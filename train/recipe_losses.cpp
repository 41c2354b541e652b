#include "train/recipe_losses.h"

#include "autograd/elementwise.h"
#include "core/ops.h"
#include "layers/losses.h"
#include "layers/losses_imbalance.h"
#include "layers/losses_noise.h"

namespace heft::train {
namespace {

Tensor targets(const Variable& logits, const Tensor& labels) { return one_hot(labels, logits.size(1), logits.dtype()); }

}  // namespace

RecipeLosses make_losses(const Recipe& r, const std::vector<std::int64_t>& counts) {
  const std::map<std::string, double> o = r.loss_options;
  using V = const Variable&;
  using L = const Tensor&;
  RecipeLosses both{nullptr, [](V z, L y) { return cross_entropy(z, y); }};
  if (r.loss == "cross_entropy")
    both.train = [e = o.at("label_smoothing")](V z, L y) { return cross_entropy(z, y, {.label_smoothing = e}); };
  if (r.loss == "binary_cross_entropy")
    both.train = both.evaluation = [](V z, L y) { return binary_cross_entropy_with_logits(z, targets(z, y)); };
  if (r.loss == "hinge")
    both.train = both.evaluation = [margin = o.at("margin")](V z, L y) { return hinge(z, y, {.margin = margin}); };
  if (r.loss == "mse") both.train = both.evaluation = [](V z, L y) { return mse(z, targets(z, y)); };
  if (r.loss == "focal") both.train = [gamma = o.at("gamma")](V z, L y) { return focal(z, y, {.gamma = gamma}); };
  if (r.loss == "ldam") {
    const LdamOptions options{.counts = counts, .max_margin = o.at("max_margin"), .scale = o.at("scale")};
    both.train = [options](V z, L y) { return ldam(z, y, options); };
    both.evaluation = [scale = options.scale](V z, L y) { return cross_entropy(z * scale, y); };
  }
  if (r.loss == "logit_adjusted") {
    const LogitAdjustmentOptions options{.counts = counts, .tau = o.at("tau")};
    both.train = [options](V z, L y) { return logit_adjusted_cross_entropy(z, y, options); };
  }
  if (r.loss == "symmetric_cross_entropy") {
    const SymmetricCrossEntropyOptions options{.alpha = o.at("alpha"), .beta = o.at("beta")};
    both.train = [options](V z, L y) { return symmetric_cross_entropy(z, y, options); };
  }
  if (r.loss == "generalized_cross_entropy")
    both.train = [q = o.at("q")](V z, L y) { return generalized_cross_entropy(z, y, {.q = q}); };
  if (r.loss == "truncated_gce")
    both.evaluation = [q = o.at("q")](V z, L y) { return generalized_cross_entropy(z, y, {.q = q}); };
  if (r.logit_norm > 0 && both.train)
    both.train = [inner = both.train, tau = r.logit_norm](V z, L y) { return inner(normalize_logits(z, tau), y); };
  return both;
}

}  // namespace heft::train
