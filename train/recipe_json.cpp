#include <cmath>
#include <nlohmann/json.hpp>

#include "train/recipe.h"

namespace heft::train {
namespace {

using Json = nlohmann::ordered_json;

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

template <class T>
Json optional(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

std::string to_json(const Recipe& recipe) {
  const Recipe r = resolved(recipe);
  Json json;
  json["data"] = {{"data", r.data.data},
                  {"dir", r.data.dir},
                  {"imbalance", r.data.imbalance},
                  {"class_order", r.data.class_order},
                  {"selection", r.data.selection},
                  {"noise", r.data.noise},
                  {"validation", r.data.validation},
                  {"meta_per_class", r.data.meta_per_class},
                  {"seed", r.data.seed}};
  json["model"] = r.model;
  json["loss"] = r.loss;
  json["loss_options"] = r.loss_options;
  json["logit_norm"] = r.logit_norm;
  json["class_weights"] = r.class_weights;
  json["class_weights_from"] = optional(r.class_weights_from);
  json["reweight"] = r.reweight;
  json["class_weights_in"] = r.class_weights_in;
  json["optimizer"] = r.optimizer;
  json["lr"] = optional(r.lr);
  json["momentum"] = optional(r.momentum);
  json["weight_decay"] = optional(r.weight_decay);
  json["clip_norm"] = finite(r.clip_norm.value());
  json["accumulate"] = r.accumulate;
  json["lambda"] = r.lambda ? finite(*r.lambda) : Json(nullptr);
  json["lambda_auto"] = r.lambda_auto.empty() ? Json(nullptr) : Json(r.lambda_auto);
  json["lambda_from"] = optional(r.lambda_from);
  json["lambda_schedule"] = r.lambda_schedule;
  json["gamma"] = optional(r.gamma);
  json["alpha"] = optional(r.alpha);
  json["min_share"] = optional(r.min_share);
  json["lr_schedule"] = r.lr_schedule;
  json["warm_up"] = r.warm_up;
  json["epochs"] = r.epochs;
  json["batch_size"] = r.batch_size;
  json["sampling"] = r.sampling;
  json["seed"] = r.seed;
  json["device"] = r.device.str();
  return json.dump(2);
}

}  // namespace heft::train
