#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/ops.h"
#include "core/random.h"
#include "data/imbalance.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "optim/absgd.h"
#include "train/recipe.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "recipe";

Tensor targets(const Variable& logits, const Tensor& labels) { return one_hot(labels, logits.size(1), logits.dtype()); }

Loss make_loss(const Recipe& recipe) {
  if (recipe.loss == "hinge") return [](const Variable& logits, const Tensor& labels) { return hinge(logits, labels); };
  if (recipe.loss == "mse")
    return [](const Variable& logits, const Tensor& labels) { return mse(logits, targets(logits, labels)); };
  if (recipe.loss == "binary_cross_entropy")
    return [](const Variable& logits, const Tensor& labels) {
      return binary_cross_entropy_with_logits(logits, targets(logits, labels));
    };
  const double smoothing = recipe.label_smoothing;
  return [smoothing](const Variable& logits, const Tensor& labels) {
    return cross_entropy(logits, labels, {.label_smoothing = smoothing});
  };
}

optim::Schedule make_lambda_schedule(const Recipe& r) {
  const double begin = *r.lambda_from - 1, end = r.epochs - 1;
  if (r.lambda_schedule == "step" || begin >= end) return optim::from(begin, *r.lambda);
  // The first of its epochs already has a share of it.
  return r.lambda_schedule == "linear" ? optim::lambda_linear(std::max(begin - 1, 0.0), end, *r.lambda)
                                       : optim::lambda_cosine(std::max(begin - 1, 0.0), end, *r.lambda);
}

std::unique_ptr<optim::Optimizer> make_optimizer(const Recipe& r, const std::vector<Variable>& parameters) {
  const double lr = r.lr.value(), decay = r.weight_decay.value(), clip_norm = r.clip_norm.value();
  const std::optional<optim::AutoLambda> auto_lambda = auto_lambda_rule(r.lambda_auto);
  const double momentum = r.momentum.value_or(0);
  if (r.optimizer == "absgd")
    return std::make_unique<optim::ABSGD>(parameters, optim::ABSGDOptions{.lr = lr,
                                                                          .momentum = momentum,
                                                                          .weight_decay = decay,
                                                                          .clip_norm = clip_norm,
                                                                          .lambda = r.lambda.value(),
                                                                          .gamma = r.gamma.value(),
                                                                          .alpha = r.alpha.value(),
                                                                          .auto_lambda = auto_lambda});
  if (r.optimizer == "abadam")
    return std::make_unique<optim::ABAdam>(parameters, optim::ABAdamOptions{.lr = lr,
                                                                            .weight_decay = decay,
                                                                            .clip_norm = clip_norm,
                                                                            .lambda = r.lambda.value(),
                                                                            .gamma = r.gamma.value(),
                                                                            .alpha = r.alpha.value(),
                                                                            .auto_lambda = auto_lambda});
  if (r.optimizer == "adam")
    return std::make_unique<optim::Adam>(parameters,
                                         optim::AdamOptions{.lr = lr, .weight_decay = decay, .clip_norm = clip_norm});
  if (r.optimizer == "adamw")
    return std::make_unique<optim::AdamW>(parameters,
                                          optim::AdamWOptions{.lr = lr, .weight_decay = decay, .clip_norm = clip_norm});
  return std::make_unique<optim::SGD>(
      parameters, optim::SGDOptions{.lr = lr, .momentum = momentum, .weight_decay = decay, .clip_norm = clip_norm});
}

optim::Schedule make_lr_schedule(const Recipe& recipe) {
  const double total = recipe.epochs;
  optim::Schedule schedule = [](double) { return 1.0; };
  if (recipe.lr_schedule == "cosine") schedule = optim::cosine(total);
  if (recipe.lr_schedule == "one-cycle") schedule = optim::one_cycle(total);
  if (recipe.lr_schedule == "step")
    schedule = optim::multi_step({std::ceil(total / 2), std::max(std::ceil(total / 2) + 1, std::ceil(total * 3 / 4))});
  return recipe.warm_up > 0 ? optim::warm_up(recipe.warm_up, std::move(schedule)) : schedule;
}

models::MakeOptions model_options(const DataSets& data) {
  const Shape image = data.train->get(0).image.shape();
  check<DataError>(image.rank() == 3 && image[1] == image[2], kOp, "expected square images (C, H, H); got {}", image);
  return {.classes = data.train->classes(), .channels = image[0], .image_size = image[1]};
}

}  // namespace

Setup prepare(const Recipe& recipe) { return prepare(recipe, load_datasets(recipe.data)); }

Setup prepare(const Recipe& recipe, DataSets data) {
  Setup s{
      .recipe = resolved(recipe), .data = std::move(data), .net = nullptr, .optimizer = nullptr, .loader = nullptr, .fit = {}};
  const Recipe& r = s.recipe;
  manual_seed(r.seed);
  s.net = models::make(r.model, model_options(s.data));
  s.net->to(r.device);
  s.optimizer = make_optimizer(r, s.net->parameters());
  s.loader = std::make_unique<data::Loader>(
      s.data.train,
      data::LoaderOptions{
          .batch_size = r.batch_size, .shuffle = true, .seed = r.seed, .device = r.device, .normalize = s.data.normalize});
  s.fit = {.epochs = r.epochs,
           .loss = make_loss(r),
           .lr_factor = make_lr_schedule(r),
           .test = s.data.test,
           .validation = s.data.validation};
  s.fit.accumulate = r.accumulate;
  if (r.class_weights != "none") {
    // Inside the exponent they meet a batch in the hands of one sample: the 25 of the other scale, for a ratio of 0.01, is a
    // step 25 times too long, the 4 of the long-tail papers' is not.
    const bool tilted = has_lambda(r) && r.class_weights_in == "exponent";
    s.fit.class_weights = data::class_weights(
        s.data.class_counts, {.mean_one_over = tilted ? data::WeightMean::classes : data::WeightMean::samples});
    s.fit.class_weights_from = r.class_weights_from.value_or(1);
    s.fit.class_weights_in = r.class_weights_in == "prior" ? ClassWeightsIn::prior : ClassWeightsIn::exponent;
  }
  if (has_lambda(r)) s.fit.lambda = make_lambda_schedule(r);
  return s;
}

}  // namespace heft::train
