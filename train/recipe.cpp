#include "train/recipe.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/check.h"
#include "core/random.h"
#include "cuda/cuda.h"
#include "layers/models.h"
#include "train/read_number.h"
#include "train/recipe_losses.h"
#include "train/reweight.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "recipe";

void check_one_of(const char* what, const std::string& name, const std::vector<std::string>& names) {
  check(std::find(names.begin(), names.end(), name) != names.end(), kOp, "expected {} to be one of {}; got '{}'", what,
        fmt::join(names, ", "), name);
}
void check_positive(const char* what, double value) { check(value > 0, kOp, "expected {} above 0; got {}", what, value); }

bool has_momentum(const Recipe& recipe) { return recipe.optimizer == "sgd" || recipe.optimizer == "absgd"; }

}  // namespace

bool has_lambda(const Recipe& recipe) { return recipe.optimizer == "absgd" || recipe.optimizer == "abadam"; }

std::optional<optim::AutoLambda> auto_lambda_rule(const std::string& text) {
  if (text.empty()) return {};
  const std::size_t colon = text.find(':');
  const std::string rule = text.substr(0, colon);
  double target = 0;
  check(colon != std::string::npos && read_number(std::string_view(text).substr(colon + 1), target) &&
            (rule == "ess" || rule == "kl" || rule == "ess-epoch" || rule == "kl-epoch" || rule == "dual"),
        kOp, "expected lambda-auto as ess:SHARE, kl:NATS, ess-epoch:SHARE, kl-epoch:NATS or dual:NATS; got '{}'", text);
  optim::AutoLambda result;
  (rule.starts_with("ess") ? result.effective_share : result.kl) = target;
  if (rule.ends_with("epoch")) result.when = optim::AutoLambda::When::on_adapt;
  if (rule == "dual") result.when = optim::AutoLambda::When::dual_step;
  return result;
}

namespace {

const std::map<std::string, std::map<std::string, double>>& losses() {
  static const std::map<std::string, std::map<std::string, double>> all{
      {"cross_entropy", {{"label_smoothing", 0}}},
      {"binary_cross_entropy", {}},
      {"hinge", {{"margin", 1}}},
      {"mse", {}},
      {"focal", {{"gamma", 1}}},
      {"ldam", {{"max_margin", 0.5}, {"scale", 30}}},
      {"logit_adjusted", {{"tau", 1}}},
      {"symmetric_cross_entropy", {{"alpha", 0.1}, {"beta", 1}}},
      {"generalized_cross_entropy", {{"q", 0.7}}},
      {"truncated_gce", {{"q", 0.7}, {"k", 0.5}, {"from", 1.0 / 3}, {"every", 1.0 / 12}}}};
  return all;
}

}  // namespace

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (const auto& [name, options] : losses()) names.push_back(name);
  return names;
}

std::map<std::string, double> loss_options(const std::string& loss) {
  check_one_of("loss", loss, loss_names());
  return losses().at(loss);
}

std::vector<std::string> optimizer_names() { return {"sgd", "adam", "adamw", "absgd", "abadam"}; }

std::vector<std::string> augment_names() {
  return {"none", "crop-flip", "reflect-crop-flip", "crop-flip-cutout", "resized-crop-flip", "resized-crop-flip-jitter"};
}
std::vector<std::string> lr_schedule_names() { return {"constant", "cosine", "one-cycle", "step", "late-step"}; }
std::vector<std::string> lambda_schedule_names() { return {"step", "linear", "cosine"}; }

namespace {

// The constants go where they are used, so that what is refused there is refused before any data is read.
void check_weights(const Recipe& r) {
  const optim::ExponentialWeights weights({.lambda = r.lambda.value(),
                                           .gamma = r.gamma.value(),
                                           .alpha = r.alpha.value(),
                                           .auto_lambda = auto_lambda_rule(r.lambda_auto),
                                           .min_share = r.min_share.value()});
  check(r.accumulate == 1 || weights.in_parts(), kOp,
        "expected whole batches (accumulate 1) for lambda-auto {}; got accumulate {}", r.lambda_auto, r.accumulate);
}
// Refuses a constant that cannot be. The random numbers that making one draws are not the run's.
bool works_in_parts(const Reweight& reweight) {
  const RandomState random = random_state();
  const bool in_parts = make_reduction(reweight, 1)->in_parts();
  set_random_state(random);
  return in_parts;
}
void check_loss(const Recipe& r) {
  if (r.loss == "truncated_gce") TruncatedGce(1, {.q = r.loss_options.at("q"), .k = r.loss_options.at("k")});
  else make_losses(r, {1, 1}).train(Tensor::zeros({1, 2}), Tensor::zeros({1}, DType::i64));
}

}  // namespace

Recipe resolved(Recipe r) {
  check_one_of("model", r.model, models::names());
  check_one_of("init-head", r.init_head, {"file", "new"});
  check(!r.init.empty() || r.init_head == "file", kOp, "expected a file for init where init-head is {}; got none", r.init_head);
  check_one_of("loss", r.loss, loss_names());
  check_one_of("optimizer", r.optimizer, optimizer_names());
  check_one_of("lr-schedule", r.lr_schedule, lr_schedule_names());
  check_one_of("class-weights", r.class_weights, {"none", "balanced", "deferred"});
  const Reweight reweight = read_reweight(r.reweight);
  const bool reweighted = reweight.rule != "none", meta = learns_from_clean_images(reweight);
  check(!reweighted || !has_lambda(r), kOp, "expected reweight {} with sgd, adam or adamw; got {}", r.reweight, r.optimizer);
  check(!reweighted || works_in_parts(reweight) || r.accumulate == 1, kOp,
        "expected whole batches (accumulate 1) for reweight {}; got accumulate {}", r.reweight, r.accumulate);
  check((!meta && reweight.rule != "top_k") || r.class_weights == "none", kOp,
        "expected no class weights beside reweight {}, which has no place for them; got {}", r.reweight, r.class_weights);
  if (meta && r.data.meta_per_class == 0) r.data.meta_per_class = 10;
  check_one_of("class-weights-in", r.class_weights_in, {"prior", "exponent"});
  check_one_of("lambda-schedule", r.lambda_schedule, lambda_schedule_names());
  const bool sgd = has_momentum(r);
  check(sgd || !r.momentum, kOp, "expected momentum with sgd or absgd only; got it with {}", r.optimizer);
  std::map<std::string, double> options = loss_options(r.loss);
  std::vector<std::string> known;
  for (const auto& [name, value] : options) known.push_back(name);
  for (const auto& [name, value] : r.loss_options) {
    check(options.count(name) > 0, kOp, "expected {} as options of {}; got '{}'",
          known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")), r.loss, name);
    options[name] = value;
  }
  r.loss_options = options;
  for (const char* share : {"from", "every"})
    check(options.count(share) == 0 || (options[share] >= 0 && options[share] <= 1), kOp,
          "expected {} of {} as a share of the epochs, in [0, 1]; got {}", share, r.loss, options[share]);
  check(r.logit_norm >= 0 && r.logit_norm <= 2, kOp, "expected logit-norm in [0, 2]; got {}", r.logit_norm);
  check_one_of("sampling", r.sampling, {"shuffled", "balanced"});
  check_one_of("augment", r.augment, augment_names());
  check_one_of("precision", r.precision, cuda::precision_names());
  check(r.mixup == 0 || (r.mixup >= 1e-3 && r.mixup <= 1e3), kOp, "expected mixup 0 or in [0.001, 1000]; got {}", r.mixup);
  // What goes by a sample's one label, which a mixed sample does not have.
  check(r.mixup == 0 || (r.class_weights == "none" && !meta && reweight.rule != "group_dro" && r.loss != "truncated_gce"), kOp,
        "expected mixup without class weights, group_dro, meta-learning and truncated_gce, which go by one label a sample; got "
        "mixup {} with class-weights {}, reweight {}, loss {}",
        r.mixup, r.class_weights, r.reweight, r.loss);
  check(r.epochs >= 1, kOp, "expected epochs >= 1; got {}", r.epochs);
  check(r.batch_size >= 1, kOp, "expected batch-size >= 1; got {}", r.batch_size);
  check(r.warm_up >= 0, kOp, "expected warm-up >= 0; got {}", r.warm_up);
  check(r.accumulate >= 1, kOp, "expected accumulate >= 1; got {}", r.accumulate);
  check(has_lambda(r) || (!r.lambda && !r.lambda_from && !r.gamma && !r.alpha && !r.min_share && r.lambda_auto.empty() &&
                          r.lambda_schedule == "step"),
        kOp, "expected lambda, its schedule, gamma, alpha and min-share with absgd or abadam only; got them with {}",
        r.optimizer);
  check(r.class_weights == "deferred" || !r.class_weights_from, kOp,
        "expected class-weights-from-epoch with deferred class weights only; got class-weights {}", r.class_weights);
  check(!r.class_weights_beta || (*r.class_weights_beta >= 0 && *r.class_weights_beta < 1), kOp,
        "expected class-weights-beta in [0, 1); got {}", r.class_weights_beta.value_or(0));
  check(r.class_weights != "none" || !r.class_weights_beta, kOp,
        "expected class-weights-beta with class weights only; got class-weights none");
  if (!r.lr) r.lr = sgd ? 0.05 : 1e-3;
  if (!r.weight_decay) r.weight_decay = sgd ? 5e-4 : r.optimizer == "adamw" ? 0.01 : 0;
  if (sgd && !r.momentum) r.momentum = 0.9;
  if (has_lambda(r)) {
    r.lambda = r.lambda.value_or(5);
    r.lambda_from = r.lambda_from.value_or(static_cast<int>(std::int64_t{r.epochs} * 3 / 5 + 1));
    r.gamma = r.gamma.value_or(0.9);
    r.alpha = r.alpha.value_or(1);
    r.min_share = r.min_share.value_or(0.5);
    check_weights(r);
  }
  check_loss(r);
  check(r.lambda_from.value_or(1) >= 1, kOp, "expected lambda-from-epoch >= 1; got {}", r.lambda_from.value_or(1));
  check(*r.lr > 0 && std::isfinite(*r.lr), kOp, "expected a finite lr above 0; got {}", *r.lr);
  check(*r.weight_decay >= 0 && std::isfinite(*r.weight_decay), kOp, "expected a finite weight-decay of at least 0; got {}",
        *r.weight_decay);
  check(r.momentum.value_or(0) >= 0 && r.momentum.value_or(0) < 1, kOp, "expected momentum in [0, 1); got {}",
        r.momentum.value_or(0));
  // One hard sample may have the batch; the norm keeps its step one of ordinary length.
  if (!r.clip_norm) r.clip_norm = has_lambda(r) ? 1 : std::numeric_limits<double>::infinity();
  check_positive("clip-norm", *r.clip_norm);
  if (r.class_weights == "deferred" && !r.class_weights_from) r.class_weights_from = r.epochs - std::max(1, r.epochs / 5) + 1;
  check(!r.class_weights_from || *r.class_weights_from >= 1, kOp, "expected class-weights-from-epoch >= 1; got {}",
        r.class_weights_from.value_or(0));
  return r;
}

}  // namespace heft::train
