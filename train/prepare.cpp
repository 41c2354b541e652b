#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "data/imbalance.h"
#include "data/mixup.h"
#include "data/photo_augment.h"
#include "data/sampler.h"
#include "layers/losses_noise.h"
#include "layers/models.h"
#include "optim/absgd.h"
#include "train/load_weights.h"
#include "train/mixed_loss.h"
#include "train/prune.h"
#include "train/recipe.h"
#include "train/recipe_losses.h"
#include "train/reweight.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "recipe";

// What prepare() says of truncated_gce: the loss by sample, and when samples are pruned.
void add_pruning(Setup& s) {
  const std::map<std::string, double>& o = s.recipe.loss_options;
  s.memory = std::make_shared<TruncatedGce>(s.data.train->source_size(), TruncatedGceOptions{.q = o.at("q"), .k = o.at("k")});
  s.fit.batch_loss = [memory = s.memory, tau = s.recipe.logit_norm](const Variable& z, const data::Batch& batch) {
    return (*memory)(tau > 0 ? normalize_logits(z, tau) : z, batch.labels, batch.indices);
  };
  const int from = static_cast<int>(std::lround(o.at("from") * s.recipe.epochs)) + 1;
  const int every = std::max(1, static_cast<int>(std::lround(o.at("every") * s.recipe.epochs)));
  s.fit.before_epoch = [memory = s.memory, net = s.net, train = s.data.train, normalize = s.data.normalize, from,
                        every](int epoch) {
    if (epoch >= from && (epoch - from) % every == 0) prune(*memory, *net, train, {.normalize = normalize});
  };
}

// Null: none.
data::Augmentation make_augmentation(const Recipe& r, const data::Normalization& normalize) {
  std::vector<data::Augmentation> steps;
  const bool resized = r.augment.starts_with("resized-crop-flip");
  if (resized) {
    steps.push_back(data::random_resized_crop());
    steps.push_back(data::horizontal_flip());
    if (r.augment == "resized-crop-flip-jitter") steps.push_back(data::color_jitter());
  } else if (r.augment != "none") {
    const bool reflect = r.augment == "reflect-crop-flip";
    steps.push_back(data::pad_and_crop({.mode = reflect ? data::Padding::reflect : data::Padding::zero}));
    steps.push_back(data::horizontal_flip());
  }
  if (r.augment == "crop-flip-cutout") steps.push_back(data::cutout({.fill = normalize.mean}));
  if (r.mixup > 0) steps.push_back(data::mixup({.alpha = r.mixup}));
  return steps.empty() ? nullptr : data::compose(std::move(steps));
}

optim::Schedule make_lambda_schedule(const Recipe& r) {
  const double begin = *r.lambda_from - 1, end = r.epochs - 1;
  if (r.lambda_schedule == "step" || begin >= end) return optim::from(begin, *r.lambda);
  // The first of its epochs already has a share of it.
  return r.lambda_schedule == "linear" ? optim::lambda_linear(std::max(begin - 1, 0.0), end, *r.lambda)
                                       : optim::lambda_cosine(std::max(begin - 1, 0.0), end, *r.lambda);
}

std::unique_ptr<optim::Optimizer> make_optimizer(const Recipe& r, const std::vector<Variable>& parameters,
                                                 std::shared_ptr<optim::Reduction> reduction) {
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
                                                                          .auto_lambda = auto_lambda,
                                                                          .min_share = r.min_share.value()});
  if (r.optimizer == "abadam")
    return std::make_unique<optim::ABAdam>(parameters, optim::ABAdamOptions{.lr = lr,
                                                                            .weight_decay = decay,
                                                                            .clip_norm = clip_norm,
                                                                            .lambda = r.lambda.value(),
                                                                            .gamma = r.gamma.value(),
                                                                            .alpha = r.alpha.value(),
                                                                            .auto_lambda = auto_lambda,
                                                                            .min_share = r.min_share.value()});
  if (r.optimizer == "adam")
    return std::make_unique<optim::Adam>(
        parameters, optim::AdamOptions{.lr = lr, .weight_decay = decay, .clip_norm = clip_norm}, std::move(reduction));
  if (r.optimizer == "adamw")
    return std::make_unique<optim::AdamW>(
        parameters, optim::AdamWOptions{.lr = lr, .weight_decay = decay, .clip_norm = clip_norm}, std::move(reduction));
  return std::make_unique<optim::SGD>(
      parameters, optim::SGDOptions{.lr = lr, .momentum = momentum, .weight_decay = decay, .clip_norm = clip_norm},
      std::move(reduction));
}

optim::Schedule make_lr_schedule(const Recipe& recipe) {
  const double total = recipe.epochs;
  optim::Schedule schedule = [](double) { return 1.0; };
  if (recipe.lr_schedule == "cosine") schedule = optim::cosine(total);
  if (recipe.lr_schedule == "one-cycle") schedule = optim::one_cycle(total);
  if (recipe.lr_schedule == "step")
    schedule = optim::multi_step({std::ceil(total / 2), std::max(std::ceil(total / 2) + 1, std::ceil(total * 3 / 4))});
  if (recipe.lr_schedule == "late-step") {
    const double first = std::ceil(total * 4 / 5);
    schedule = optim::multi_step({first, std::max(first + 1, std::ceil(total * 9 / 10))}, 0.01);
  }
  return recipe.warm_up > 0 ? optim::warm_up(recipe.warm_up, std::move(schedule)) : schedule;
}

models::MakeOptions model_options(const Recipe& recipe, const DataSets& data) {
  const Shape image = data.train->get(0).image.shape();
  check<DataError>(image.rank() == 3 && image[1] == image[2], kOp, "expected square images (C, H, H); got {}", image);
  return {.classes = data.train->classes(),
          .channels = image[0],
          .image_size = image[1],
          .normed_classifier = recipe.loss == "ldam"};
}

ModelInfo model_info(const Recipe& recipe, const DataSets& data) {
  ModelInfo info{.model = recipe.model, .options = model_options(recipe, data), .normalization = data.normalize};
  info.class_names = data.train->class_names();
  if (static_cast<std::int64_t>(info.class_names.size()) != info.options.classes) info.class_names.clear();
  if (recipe.loss == "ldam") info.logit_scale = recipe.loss_options.at("scale");
  return info;
}

}  // namespace

Setup prepare(const Recipe& recipe) { return prepare(recipe, load_datasets(resolved(recipe).data)); }

Setup prepare(const Recipe& recipe, DataSets data) {
  Setup s{
      .recipe = resolved(recipe), .data = std::move(data), .net = nullptr, .optimizer = nullptr, .loader = nullptr, .fit = {}};
  const Recipe& r = s.recipe;
  manual_seed(r.seed);
  s.info = model_info(r, s.data);
  s.net = models::make(r.model, s.info.options);
  if (!r.init.empty()) load_weights(r.init, *s.net, {.new_head = r.init_head == "new"});
  if (!r.freeze.empty()) freeze_modules(*s.net, r.freeze);
  if (r.device.is_cuda()) cuda::set_precision(cuda::precision_named(r.precision));
  s.net->to(r.device);
  const Reweight reweight = read_reweight(r.reweight);
  s.optimizer = make_optimizer(r, s.net->parameters(), make_reduction(reweight, s.data.train->classes()));
  data::LoaderOptions batches{.batch_size = r.batch_size,
                              .seed = r.seed,
                              .workers = s.data.workers,
                              .device = r.device,
                              .augment = make_augmentation(r, s.data.normalize),
                              .normalize = s.data.normalize};
  if (r.sampling == "balanced") batches.sampler = data::class_balanced_sampler(s.data.train);
  else batches.shuffle = true;
  s.loader = std::make_unique<data::Loader>(s.data.train, batches);
  const RecipeLosses losses = make_losses(r, s.data.class_counts);
  s.fit = {.epochs = r.epochs,
           .loss = losses.train,
           .evaluation_loss = losses.evaluation,
           .logit_scale = s.info.logit_scale,
           .lr_factor = make_lr_schedule(r),
           .test = s.data.test,
           .validation = s.data.validation};
  s.fit.accumulate = r.accumulate;
  s.fit.record_steps = r.record_steps;
  s.fit.classes_are_groups = reweight.rule == "group_dro";
  if (learns_from_clean_images(reweight)) {
    check(s.data.meta != nullptr, kOp, "expected data with meta images for reweight {}; got none", r.reweight);
    s.fit.meta =
        std::make_shared<data::Cycle>(data::Loader(s.data.meta, {.batch_size = std::min<std::int64_t>(100, s.data.meta->size()),
                                                                 .shuffle = true,
                                                                 .seed = r.seed,
                                                                 .workers = 0,
                                                                 .drop_last = true,
                                                                 .device = r.device,
                                                                 .augment = batches.augment,
                                                                 .normalize = s.data.normalize}));
  }
  if (r.class_weights != "none") {
    // Inside the exponent they meet a batch in the hands of one sample: the 25 of the other scale, for a ratio of 0.01, is a
    // step 25 times too long, the 4 of the long-tail papers' is not.
    const bool tilted = has_lambda(r) && r.class_weights_in == "exponent";
    s.fit.class_weights = data::class_weights(
        s.data.class_counts,
        {.scheme = r.class_weights_beta ? data::WeightScheme::effective_number : data::WeightScheme::balanced,
         .beta = r.class_weights_beta.value_or(0),
         .mean_one_over = tilted ? data::WeightMean::classes : data::WeightMean::samples});
    s.fit.class_weights_from = r.class_weights_from.value_or(1);
    s.fit.class_weights_in = r.class_weights_in == "prior" ? ClassWeightsIn::prior : ClassWeightsIn::exponent;
  }
  if (r.loss == "truncated_gce") add_pruning(s);
  if (r.mixup > 0)
    s.fit.batch_loss = [loss = losses.train](const Variable& z, const data::Batch& batch) {
      return mixed_loss(loss, z, batch);
    };
  if (has_lambda(r)) s.fit.lambda = make_lambda_schedule(r);
  return s;
}

}  // namespace heft::train
