#include "train/recipe.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "core/check.h"
#include "core/ops.h"
#include "core/random.h"
#include "data/imbalance.h"
#include "layers/losses.h"
#include "layers/models.h"
#include "optim/absgd.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "recipe";

void check_one_of(const char* what, const std::string& name, const std::vector<std::string>& names) {
  check(std::find(names.begin(), names.end(), name) != names.end(), kOp, "expected {} to be one of {}; got '{}'", what,
        fmt::join(names, ", "), name);
}
void check_positive(const char* what, double value) { check(value > 0, kOp, "expected {} above 0; got {}", what, value); }

bool is_exponential(const Recipe& recipe) { return recipe.optimizer == "absgd" || recipe.optimizer == "abadam"; }
bool has_momentum(const Recipe& recipe) { return recipe.optimizer == "sgd" || recipe.optimizer == "absgd"; }

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

std::unique_ptr<optim::Optimizer> make_optimizer(const Recipe& r, const std::vector<Variable>& parameters) {
  const double lr = r.lr.value(), decay = r.weight_decay.value();
  const double momentum = r.momentum.value_or(0);
  if (r.optimizer == "absgd")
    return std::make_unique<optim::ABSGD>(parameters, optim::ABSGDOptions{.lr = lr,
                                                                          .momentum = momentum,
                                                                          .weight_decay = decay,
                                                                          .clip_norm = r.clip_norm,
                                                                          .lambda = r.lambda.value(),
                                                                          .gamma = r.gamma.value()});
  if (r.optimizer == "abadam")
    return std::make_unique<optim::ABAdam>(
        parameters,
        optim::ABAdamOptions{
            .lr = lr, .weight_decay = decay, .clip_norm = r.clip_norm, .lambda = r.lambda.value(), .gamma = r.gamma.value()});
  if (r.optimizer == "adam")
    return std::make_unique<optim::Adam>(parameters,
                                         optim::AdamOptions{.lr = lr, .weight_decay = decay, .clip_norm = r.clip_norm});
  if (r.optimizer == "adamw")
    return std::make_unique<optim::AdamW>(parameters,
                                          optim::AdamWOptions{.lr = lr, .weight_decay = decay, .clip_norm = r.clip_norm});
  return std::make_unique<optim::SGD>(
      parameters, optim::SGDOptions{.lr = lr, .momentum = momentum, .weight_decay = decay, .clip_norm = r.clip_norm});
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

std::vector<std::string> loss_names() { return {"cross_entropy", "binary_cross_entropy", "hinge", "mse"}; }
std::vector<std::string> optimizer_names() { return {"sgd", "adam", "adamw", "absgd", "abadam"}; }
std::vector<std::string> lr_schedule_names() { return {"constant", "cosine", "one-cycle", "step"}; }

Recipe resolved(Recipe r) {
  check_one_of("model", r.model, models::names());
  check_one_of("loss", r.loss, loss_names());
  check_one_of("optimizer", r.optimizer, optimizer_names());
  check_one_of("lr-schedule", r.lr_schedule, lr_schedule_names());
  check_one_of("class-weights", r.class_weights, {"none", "balanced", "deferred"});
  const bool sgd = has_momentum(r);
  check(sgd || !r.momentum, kOp, "expected momentum with sgd or absgd only; got it with {}", r.optimizer);
  check(r.loss == "cross_entropy" || r.label_smoothing == 0, kOp,
        "expected label-smoothing with cross_entropy only; got it with {}", r.loss);
  check(r.label_smoothing >= 0 && r.label_smoothing <= 1, kOp, "expected label-smoothing in [0, 1]; got {}", r.label_smoothing);
  check(r.epochs >= 1, kOp, "expected epochs >= 1; got {}", r.epochs);
  check(r.batch_size >= 1, kOp, "expected batch-size >= 1; got {}", r.batch_size);
  check(r.warm_up >= 0, kOp, "expected warm-up >= 0; got {}", r.warm_up);
  check(is_exponential(r) || (!r.lambda && !r.lambda_from && !r.gamma), kOp,
        "expected lambda, lambda-from-epoch and gamma with absgd or abadam only; got them with {}", r.optimizer);
  check(r.class_weights == "deferred" || !r.class_weights_from, kOp,
        "expected class-weights-from-epoch with deferred class weights only; got class-weights {}", r.class_weights);
  if (!r.lr) r.lr = sgd ? 0.05 : 1e-3;
  if (!r.weight_decay) r.weight_decay = sgd ? 5e-4 : r.optimizer == "adamw" ? 0.01 : 0;
  if (sgd && !r.momentum) r.momentum = 0.9;
  if (is_exponential(r)) {
    r.lambda = r.lambda.value_or(5);
    r.lambda_from = r.lambda_from.value_or(1);
    r.gamma = r.gamma.value_or(0.9);
  }
  check(r.lambda_from.value_or(1) >= 1, kOp, "expected lambda-from-epoch >= 1; got {}", r.lambda_from.value_or(1));
  check_positive("lr", *r.lr);
  check_positive("clip-norm", r.clip_norm);
  if (r.class_weights == "deferred" && !r.class_weights_from) r.class_weights_from = r.epochs - std::max(1, r.epochs / 5) + 1;
  check(!r.class_weights_from || *r.class_weights_from >= 1, kOp, "expected class-weights-from-epoch >= 1; got {}",
        r.class_weights_from.value_or(0));
  return r;
}

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
  if (r.class_weights != "none") {
    // Tilted losses meet the weights of the long-tail papers, 4 at most for a ratio of 0.01: with a batch in the hands of one
    // sample, as the tilt may have it, the 25 of the other scale is a step 25 times too long.
    s.fit.class_weights = data::class_weights(
        s.data.class_counts, {.mean_one_over = is_exponential(r) ? data::WeightMean::classes : data::WeightMean::samples});
    s.fit.class_weights_from = r.class_weights_from.value_or(1);
  }
  if (is_exponential(r)) s.fit.lambda = optim::from(*r.lambda_from - 1, *r.lambda);
  return s;
}

}  // namespace heft::train
