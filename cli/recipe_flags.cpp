#include "cli/recipe_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <limits>
#include <type_traits>

#include "cli/threads_flag.h"
#include "core/check.h"
#include "cuda/cuda.h"
#include "layers/models.h"
#include "train/reweight.h"

namespace heft::cli {
namespace {

std::string one_of(const std::string& what, const std::vector<std::string>& names) {
  return fmt::format("{}: {}", what, fmt::join(names, ", "));
}

std::string all_loss_options() {
  std::string text;
  for (const std::string& loss : train::loss_names())
    for (const auto& [name, value] : train::loss_options(loss))
      text += fmt::format("{}{} of {} [{}]", text.empty() ? "" : ", ", name, loss, value);
  return text;
}

void read_loss_options(const std::vector<std::string>& all, train::Recipe& recipe) {
  for (const std::string& text : all) {
    const std::size_t equals = text.find('=');
    double value = 0;
    check(equals != std::string::npos && equals > 0 && CLI::detail::lexical_cast(text.substr(equals + 1), value), "recipe",
          "expected --loss-option NAME=VALUE; got '{}'", text);
    recipe.loss_options[text.substr(0, equals)] = value;
  }
}

// CLI11 takes a whole number beyond 64 bits for the largest that has them.
template <typename T>
std::string beyond(const std::string& text) {
  T value{};
  const bool fits = std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc::result_out_of_range;
  return fits ? "" : fmt::format("expected a number up to {}; got {}", std::numeric_limits<T>::max(), text);
}
template <typename T>
CLI::Option* add_option(CLI::App& command, const std::string& flag, T& value, const std::string& text, const char* group) {
  CLI::Option* option = command.add_option(flag, value, text)->group(group);
  if constexpr (std::is_same_v<T, std::int64_t>) option->check(beyond<T>);
  return option;
}

}  // namespace

void add_machine_flags(CLI::App& command, train::Recipe& recipe) {
  command.add_option("--data-dir", recipe.data.dir,
                     "Folder of the data [where the Debian package dataset-fashion-mnist puts it]");
  command
      .add_option_function<std::string>(
          "--device", [&recipe](const std::string& name) { recipe.device = name == "cuda" ? Device::cuda() : Device::cpu(); },
          "cpu or cuda [cpu]")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  command
      .add_option("--precision", recipe.precision, one_of("On a GPU, how f32 products are computed", cuda::precision_names()))
      ->capture_default_str();
  command.add_flag_callback(
      "--no-graph", [&recipe] { recipe.record_steps = false; },
      "On a GPU, run each step operation by operation instead of replaying a recorded one: slower, the same numbers");
  add_threads_flag(command);
}

void add_recipe_flags(CLI::App& command, train::Recipe& recipe) {
  const auto data = [&](const std::string& flag, auto& value, const std::string& text) {
    return add_option(command, flag, value, text, "Data");
  };
  data("--data", recipe.data.data,
       "fashion-mnist; or in --data-dir: idx, the four files {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]; cifar10, "
       "cifar100, "
       "the binary versions; or your own PNG and JPEG images: a folder {train,val}/CLASS/ or CLASS/, or a CSV file of "
       "path,label")
      ->capture_default_str();
  data("--image-size", recipe.data.image_size, "Of your own images: edge they are resized to")->capture_default_str();
  data("--channels", recipe.data.channels, "1: grey, 3: RGB, 0: grey where all images are")->capture_default_str();
  data("--broken", recipe.data.broken, "Files that are no images: error, or skip")->capture_default_str();
  data("--cache", recipe.data.cache, "Decoded images: memory, file (in ~/.cache/heft, for later runs too), or none")
      ->capture_default_str();
  data("--test-split", recipe.data.test_share, "Share held out as the test set where there is neither test/ nor val/")
      ->capture_default_str();
  data("--imbalance", recipe.data.imbalance, "Long tail: none, exp:RATIO or step:RATIO of the smallest class to the largest")
      ->capture_default_str();
  data("--class-order", recipe.data.class_order, "Largest class first: label, reversed, or labels as in 3,1,0,2")
      ->capture_default_str();
  data("--selection", recipe.data.selection, "Which images a long tail keeps: counter, or numpy as in the published CIFAR-LT")
      ->capture_default_str();
  data("--noise", recipe.data.noise,
       "Wrong training labels: none, symmetric:RATE, uniform:RATE, asymmetric:RATE, asymmetric-sequential:RATE, pair:RATE, "
       "file:PATH")
      ->capture_default_str();
  data(
      "--normalize", recipe.data.normalize,
      "Images by: estimated, the mean and standard deviation of the training images; imagenet, as torchvision's weights expect "
      "them; none; or MEAN,...:STD,..., one number a channel, of pixels in [0, 1]")
      ->capture_default_str();
  data("--val-split", recipe.data.validation, "Share of the training set to hold out and report on besides")
      ->capture_default_str();

  const auto model = [&](const std::string& flag, auto& value, const std::string& text) {
    return add_option(command, flag, value, text, "Model and loss");
  };
  model("--model", recipe.model, one_of("Network", models::names()))->capture_default_str();
  model("--init", recipe.init, "Start from the weights in this safetensors file, of heft or PyTorch, by name [random]");
  model("--init-head", recipe.init_head, "file, or new: a new last layer, for other classes than the file's")
      ->capture_default_str();
  model("--freeze", recipe.freeze, "Modules that keep what they have, running statistics too, as in conv1,layer1 [none]");
  model("--loss", recipe.loss, one_of("Loss of a sample", train::loss_names()))->capture_default_str();
  command
      .add_option_function<std::vector<std::string>>(
          "--loss-option", [&recipe](const std::vector<std::string>& all) { read_loss_options(all, recipe); },
          "A constant of the loss, NAME=VALUE: " + all_loss_options())
      ->group("Model and loss");
  command
      .add_option_function<double>(
          "--label-smoothing", [&recipe](double share) { recipe.loss_options["label_smoothing"] = share; },
          "Share of the target spread over all classes [0]; cross_entropy's option")
      ->group("Model and loss");
  model("--logit-norm", recipe.logit_norm, "Tau: train on logits over the tau-th power of their length; 0: as they are")
      ->capture_default_str();
  model("--class-weights", recipe.class_weights, "none, balanced (1/n of each class), or deferred (that, but late)")
      ->capture_default_str();
  model("--class-weights-beta", recipe.class_weights_beta,
        "By the effective number of samples with that beta, 0.9999 as published, instead of 1/n");
  model("--class-weights-from-epoch", recipe.class_weights_from,
        "First epoch of deferred weights [the last fifth of the epochs]");
  model("--class-weights-in", recipe.class_weights_in,
        "With absgd: prior (the measure that is tilted), or exponent (the authors' form)")
      ->capture_default_str();

  model("--reweight", recipe.reweight,
        "With sgd or adam, other weights than absgd's, RULE or RULE:CONSTANT: " + train::reweight_rules() +
            "; group_dro has the classes as groups, and the two after none learn from clean images")
      ->capture_default_str();
  model("--meta-per-class", recipe.data.meta_per_class, "Those clean images, of each class [10]")->capture_default_str();

  const auto optimizer = [&](const std::string& flag, auto& value, const std::string& text) {
    return add_option(command, flag, value, text, "Optimizer");
  };
  optimizer("--optimizer", recipe.optimizer, one_of("How to step", train::optimizer_names()))->capture_default_str();
  optimizer("--lr", recipe.lr, "Learning rate [0.05; Adam family 0.001]");
  optimizer("--momentum", recipe.momentum, "Of sgd and absgd [0.9]");
  optimizer("--weight-decay", recipe.weight_decay, "[0.0005; adam and abadam 0; adamw 0.01]");
  optimizer("--clip-norm", recipe.clip_norm, "Largest norm of the gradient [absgd and abadam 1, else inf]");
  optimizer("--accumulate", recipe.accumulate, "Batches to a step")->capture_default_str();
  optimizer("--lambda", recipe.lambda,
            "Of absgd and abadam: positive lifts hard samples, negative quiets them, inf is the mean [5]");
  optimizer("--lambda-auto", recipe.lambda_auto,
            "Solve for lambda: ess:SHARE or kl:NATS per batch, ess-epoch:SHARE, kl-epoch:NATS, dual:NATS");
  optimizer("--lambda-from-epoch", recipe.lambda_from, "The mean before that epoch [the one after 60 % of them]");
  optimizer("--lambda-schedule", recipe.lambda_schedule,
            one_of("How it comes in from there to the last epoch, in 1/lambda", train::lambda_schedule_names()))
      ->capture_default_str();
  optimizer("--gamma", recipe.gamma, "Share of the new batch in the moving average of the weights [0.9]");
  optimizer("--alpha", recipe.alpha, "Scales that average alone: weights are 1/alpha as large [1]");
  optimizer("--min-share", recipe.min_share, "Least effective share of a batch, whatever lambda; 0: none [0.5]");
  optimizer("--lr-schedule", recipe.lr_schedule, one_of("Over the epochs", train::lr_schedule_names()))->capture_default_str();
  optimizer("--warm-up", recipe.warm_up, "Epochs of linear warm-up")->capture_default_str();
  optimizer("--epochs", recipe.epochs, "Passes over the training set")->capture_default_str();
  optimizer("--sampling", recipe.sampling, "shuffled, or balanced: every class equally often, with replacement")
      ->capture_default_str();
  optimizer("--augment", recipe.augment, one_of("Random changes to training images", train::augment_names()))
      ->capture_default_str();
  optimizer("--mixup", recipe.mixup, "Mix each image with another, by a share from Beta(MIXUP, MIXUP); 0: none")
      ->capture_default_str();
  optimizer("--batch-size", recipe.batch_size, "Samples of a step")->capture_default_str();
  command
      .add_option_function<std::uint64_t>(
          "--seed", [&recipe](std::uint64_t seed) { recipe.seed = recipe.data.seed = seed; },
          "Of the long tail, the initial weights and the order of the batches [0]")
      ->check([](const std::string& text) {
        return text.starts_with('-') ? "expected a seed of at least 0; got " + text : beyond<std::uint64_t>(text);
      })
      ->group("Optimizer");
}

}  // namespace heft::cli
