// Internal to train/: every field of a Recipe under its name, once. What writes and what reads recipes walks this list, so a
// new field is one line here.
#pragma once

#include "train/recipe.h"

namespace heft::train {

// visit(name, field) for each, in the order in which to_json() writes them; "data.seed" is the field seed of the table data.
// The types: int, std::int64_t, std::uint64_t, double, std::string, std::optional of int or double, Device, and a map
// from names to numbers. AnyRecipe: Recipe or const Recipe.
template <class AnyRecipe, class Visit>
void visit_recipe(AnyRecipe& r, const Visit& visit) {
  visit("data.data", r.data.data);
  visit("data.dir", r.data.dir);
  visit("data.image_size", r.data.image_size);
  visit("data.channels", r.data.channels);
  visit("data.broken", r.data.broken);
  visit("data.cache", r.data.cache);
  visit("data.test_share", r.data.test_share);
  visit("data.imbalance", r.data.imbalance);
  visit("data.class_order", r.data.class_order);
  visit("data.selection", r.data.selection);
  visit("data.noise", r.data.noise);
  visit("data.normalize", r.data.normalize);
  visit("data.validation", r.data.validation);
  visit("data.meta_per_class", r.data.meta_per_class);
  visit("data.seed", r.data.seed);
  visit("model", r.model);
  visit("init", r.init);
  visit("init_head", r.init_head);
  visit("freeze", r.freeze);
  visit("loss", r.loss);
  visit("loss_options", r.loss_options);
  visit("logit_norm", r.logit_norm);
  visit("class_weights", r.class_weights);
  visit("class_weights_beta", r.class_weights_beta);
  visit("class_weights_from", r.class_weights_from);
  visit("reweight", r.reweight);
  visit("class_weights_in", r.class_weights_in);
  visit("optimizer", r.optimizer);
  visit("lr", r.lr);
  visit("momentum", r.momentum);
  visit("weight_decay", r.weight_decay);
  visit("clip_norm", r.clip_norm);
  visit("accumulate", r.accumulate);
  visit("lambda", r.lambda);
  visit("lambda_auto", r.lambda_auto);
  visit("lambda_from", r.lambda_from);
  visit("lambda_schedule", r.lambda_schedule);
  visit("gamma", r.gamma);
  visit("alpha", r.alpha);
  visit("min_share", r.min_share);
  visit("lr_schedule", r.lr_schedule);
  visit("warm_up", r.warm_up);
  visit("epochs", r.epochs);
  visit("batch_size", r.batch_size);
  visit("sampling", r.sampling);
  visit("augment", r.augment);
  visit("mixup", r.mixup);
  visit("seed", r.seed);
  visit("device", r.device);
  visit("precision", r.precision);
  visit("record_steps", r.record_steps);
}

}  // namespace heft::train
