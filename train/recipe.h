// Recipe: a training run described in words and numbers, as a configuration file or a command line gives it.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "layers/losses_noise.h"
#include "layers/module.h"
#include "optim/exponential_weights.h"
#include "optim/optimizer.h"
#include "train/datasets.h"
#include "train/fit.h"
#include "train/model_file.h"

namespace heft::train {

struct Recipe {
  DataRecipe data = {};
  std::string model = "lenet5";  // models::names()
  // A safetensors file that the weights start from (train/load_weights.h); empty: random ones. With init_head "new" the last
  // layer is not taken from it: fine-tuning for other classes. "file": all layers are.
  std::string init = {};
  std::string init_head = "file";
  // Modules by their dotted names, "conv1,layer1": they keep their weights and running statistics. Empty: none.
  std::string freeze = {};
  std::string loss = "cross_entropy";  // loss_names()
  // The loss's own constants by name, loss_options(loss); unset ones take its defaults. truncated_gce prunes before the epoch
  // that `from` of all epochs precede, and again every `every` of them: the authors' 40 and 10 of 120.
  std::map<std::string, double> loss_options = {};
  double logit_norm = 0;  // tau: in training, logits over the tau-th power of their length (normalize_logits); 0: as they are
  // "none"; "balanced": each class 1 / n_c from the start; "deferred": the same from epoch class_weights_from on. Their mean
  // is 1 over the training set, so that the learning rate keeps its meaning; inside the exponent, over the classes.
  std::string class_weights = "none";
  // By the effective number of samples with that beta instead, (1 - beta) / (1 - beta^n_c), in [0, 1): class-balanced cross
  // entropy, 0.9999 as published. Unset: 1 / n_c.
  std::optional<double> class_weights_beta = {};
  std::optional<int> class_weights_from = {};  // deferred; unset: the last fifth of the epochs
  std::string class_weights_in = "prior";      // or "exponent": ClassWeightsIn
  // In the place of the mean, a reduction by name with its constant, e.g. "cvar:0.3" (train/reweight.h). "group_dro" has the
  // classes as groups. "l2rw" and "meta_weight_net" learn from data.meta_per_class clean images of each class (unset: 10), all
  // in one batch or 100 at a time.
  std::string reweight = "none";
  std::string optimizer = "sgd";            // optimizer_names()
  std::optional<double> lr = {};            // unset: 0.05, and 0.001 for the Adam family
  std::optional<double> momentum = {};      // SGD family; unset: 0.9
  std::optional<double> weight_decay = {};  // unset: 5e-4 for the SGD family, 0.01 for adamw, else 0
  std::optional<double> clip_norm = {};     // unset: 1 for absgd and abadam, else infinity
  int accumulate = 1;                       // batches to a step
  // Of absgd and abadam, unset for others.
  std::optional<double> lambda = {};  // unset: 5; infinity: the mean
  // Solved for instead, with lambda's sign: "ess:SHARE" or "kl:NATS" on each batch, "ess-epoch:SHARE" or "kl-epoch:NATS" on the
  // losses of each epoch, "dual:NATS" by a dual step per batch (optim/exponential_weights.h). Empty: lambda is what it is.
  std::string lambda_auto = {};
  std::optional<int> lambda_from = {};  // the mean before that epoch; unset: that after 60 % of them
  // How lambda comes in, between lambda_from and the last epoch: "step", all at once; "linear" and "cosine" in 1 / lambda.
  std::string lambda_schedule = "step";
  std::optional<double> gamma = {};      // unset: 0.9
  std::optional<double> alpha = {};      // unset: 1
  std::optional<double> min_share = {};  // least effective share of a batch; unset: 0.5; 0: none
  // Or "constant", "one-cycle"; "step": a tenth from half, a hundredth from 3/4 of the epochs; "late-step": a hundredth from
  // 4/5 and a hundredth of that from 9/10, LDAM-DRW's 160 and 180 of 200 (the authors of ABSGD leave out the second).
  std::string lr_schedule = "cosine";
  int warm_up = 0;  // epochs of linear warm-up
  int epochs = 10;
  std::int64_t batch_size = 128;
  std::string sampling = "shuffled";  // or "balanced": every class equally often, with replacement
  // Random changes to the training and meta images (data/augment.h). "crop-flip": padded with 4 black pixels and cut out again,
  // left and right exchanged half the time, the protocol of the long-tail papers; "reflect-crop-flip": padded by reflection, as
  // Meta-Weight-Net's code does; "crop-flip-cutout": crop-flip and 16 x 16 pixels of the mean colour. For photographs
  // (data/photo_augment.h): "resized-crop-flip", a random part of the image as it is stored, resized to that size, so that all
  // who look at the training set, the model first, see one size; "resized-crop-flip-jitter": with the light changed by 0.4.
  std::string augment = "none";
  // alpha of data/mixup.h, one share a batch; 0: none. The loss is mixed_loss(); the accuracy in training goes by the label
  // that the sample had alone.
  double mixup = 0;
  std::uint64_t seed = 0;  // of the initial weights, the order of the batches, the changes to images, and dropout
  Device device = Device::cpu();
  // On a GPU: how f32 products are computed, "tf32", "f32" or "bf16" (cuda/cuda.h), and whether steps are recorded and replayed
  // (train/recorded_step.h).
  std::string precision = "tf32";
  bool record_steps = true;
};

std::vector<std::string> loss_names();
// The constants of a loss and their defaults, e.g. {"gamma", 1} of focal. Throws ValueError for an unknown loss.
std::map<std::string, double> loss_options(const std::string& loss);
std::vector<std::string> optimizer_names();
std::vector<std::string> augment_names();
std::vector<std::string> lr_schedule_names();
std::vector<std::string> lambda_schedule_names();

// Whether the recipe's optimizer has exponential weights.
bool has_lambda(const Recipe& recipe);
// What lambda_auto means; empty for an empty text. Throws ValueError for another text.
std::optional<optim::AutoLambda> auto_lambda_rule(const std::string& text);

// Every unset field set, every field checked: ValueError names the one that is wrong. data is checked when it is loaded.
Recipe resolved(Recipe recipe);
// The resolved recipe as JSON, indented; infinity is null.
std::string to_json(const Recipe& recipe);

// Everything that fit() needs. `fit` has no callbacks.
struct Setup {
  Recipe recipe;
  DataSets data;
  ModulePtr net;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::unique_ptr<data::Loader> loader;
  FitOptions fit;
  std::shared_ptr<TruncatedGce> memory = nullptr;  // of the loss truncated_gce, which `fit` holds too
  ModelInfo info = {};                             // of `net`, for its file
};
// Restarts the process's random numbers from the recipe's seed: equal recipes give equal runs, and recipes that differ in
// the optimizer start from the same weights and see the same batches.
Setup prepare(const Recipe& recipe);
Setup prepare(const Recipe& recipe, DataSets data);

}  // namespace heft::train
