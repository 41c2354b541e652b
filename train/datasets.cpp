#include "train/datasets.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>

#include "core/check.h"
#include "data/balanced_split.h"
#include "data/cifar.h"
#include "data/fashion_mnist.h"
#include "data/idx.h"
#include "data/imbalance.h"
#include "data/label_noise.h"
#include "data/relabel.h"
#include "data/split.h"
#include "train/image_sources.h"
#include "train/read_number.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "load_datasets";

std::string idx_file(const std::string& dir, const std::string& name) {
  for (const char* suffix : {"", ".gz"}) {
    const std::string path = (std::filesystem::path(dir) / (name + suffix)).string();
    if (std::filesystem::exists(path)) return path;
  }
  fail<DataError>(kOp, "expected {0} or {0}.gz in {1}; there is neither", name, dir);
}

data::DatasetPtr load(const DataRecipe& recipe, bool train, std::int64_t classes) {
  if (recipe.data == "fashion-mnist") return data::fashion_mnist({.train = train, .dir = recipe.dir});
  const bool cifar = recipe.data == "cifar10" || recipe.data == "cifar100";
  std::error_code none;
  check(cifar || recipe.data == "idx", kOp,
        "expected the data to be fashion-mnist, idx, cifar10, cifar100, a folder of images or a CSV list of them; got '{}', "
        "which is {}",
        recipe.data, std::filesystem::exists(recipe.data, none) ? "a file of another kind" : "none of these and no path");
  check(!recipe.dir.empty(), kOp, "expected a directory with the files of {} (--data-dir); got none", recipe.data);
  if (cifar) return data::cifar({.train = train, .dir = recipe.dir, .classes = recipe.data == "cifar10" ? 10 : 100});
  const std::string prefix = train ? "train" : "t10k";
  const std::string images = idx_file(recipe.dir, prefix + "-images-idx3-ubyte");
  return data::idx_dataset(images, idx_file(recipe.dir, prefix + "-labels-idx1-ubyte"), {.classes = classes});
}

std::int64_t classes_of_idx(const DataRecipe& recipe) {
  check(!recipe.dir.empty(), kOp, "expected a directory with the files of {}; got none", recipe.data);
  std::int64_t classes = 0;
  const Tensor labels = data::read_idx(idx_file(recipe.dir, "train-labels-idx1-ubyte"));
  for (const std::int64_t label : labels.to_vector<std::int64_t>()) classes = std::max(classes, label + 1);
  return classes;
}

std::vector<std::int64_t> read_labels(const std::string& text) {
  std::vector<std::int64_t> labels;
  check(read_numbers(text, labels, read_number<std::int64_t>), kOp,
        "expected a class order of label, reversed, or numbers as in 3,1,0,2; got '{}'", text);
  return labels;
}

// Unset: to be estimated.
std::optional<data::Normalization> read_normalization(const std::string& text) {
  if (text == "estimated") return std::nullopt;
  data::Normalization given;
  if (text == "none") return given;
  if (text == "imagenet") return data::Normalization{.mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}};
  const std::size_t colon = text.find(':');
  check(
      colon != std::string::npos && read_numbers(std::string_view(text).substr(0, colon), given.mean, read_number<double>) &&
          read_numbers(std::string_view(text).substr(colon + 1), given.std, read_number<double>) &&
          given.mean.size() == given.std.size() &&
          std::all_of(given.mean.begin(), given.mean.end(), [](double mean) { return mean >= 0 && mean <= 1; }) &&
          std::all_of(given.std.begin(), given.std.end(), [](double std) { return std > 0 && std <= 1; }),
      kOp,
      "expected normalize to be estimated, none, imagenet, or means and as many standard deviations of pixels in [0, 1], as in "
      "0.49,0.48,0.45:0.25,0.24,0.26; got '{}'",
      text);
  return given;
}

data::Normalization normalization_of(const DataSets& sets, const std::optional<data::Normalization>& given,
                                     const DataRecipe& recipe) {
  if (!given) return data::estimate_normalization(sets.train, sets.workers);
  const std::int64_t channels = sets.train->get(0).image.size(0);
  check(given->empty() || static_cast<std::int64_t>(given->mean.size()) == channels, kOp,
        "expected a mean and a standard deviation for each channel of the images, {}; got {}, normalize {}", channels,
        given->mean.size(), recipe.normalize);
  return *given;
}

data::DatasetPtr imbalanced(data::DatasetPtr dataset, const DataRecipe& recipe) {
  data::LongTailedOptions options{.seed = recipe.seed};
  if (recipe.class_order == "reversed") options.order = data::ClassOrder::reversed;
  else if (recipe.class_order != "label") options.order = read_labels(recipe.class_order);
  check(recipe.selection == "counter" || recipe.selection == "numpy", kOp, "expected a selection of counter or numpy; got '{}'",
        recipe.selection);
  options.selection = recipe.selection == "numpy" ? data::Selection::numpy_legacy : data::Selection::counter;
  if (recipe.imbalance == "none") return dataset;
  const std::string_view text = recipe.imbalance;
  const std::size_t colon = text.find(':');
  const std::string_view profile = text.substr(0, colon);
  check(colon != std::string_view::npos && (profile == "exp" || profile == "step") &&
            read_number(text.substr(colon + 1), options.ratio),
        kOp, "expected an imbalance of none, exp:RATIO or step:RATIO, as in exp:0.01; got '{}'", recipe.imbalance);
  options.profile = profile == "exp" ? data::Profile::exponential : data::Profile::step;
  return data::long_tailed(std::move(dataset), options);
}

data::DatasetPtr noisy(data::DatasetPtr dataset, const DataRecipe& recipe) {
  const std::string& text = recipe.noise;
  if (text == "none") return dataset;
  const std::size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon), rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (kind == "file" && !rest.empty()) return data::relabelled_from_file(std::move(dataset), rest);
  double rate = 0;
  check(read_number(std::string_view(rest), rate), kOp,
        "expected noise as none, symmetric:RATE, uniform:RATE, asymmetric:RATE, asymmetric-sequential:RATE, pair:RATE or "
        "file:PATH; got '{}'",
        text);
  const std::int64_t classes = dataset->classes();
  if (kind == "symmetric") return data::symmetric_noise(std::move(dataset), {.rate = rate, .seed = recipe.seed});
  if (kind == "uniform")
    return data::symmetric_noise(
        std::move(dataset),
        {.rate = rate, .count = data::FlipCount::overall, .true_class = data::TrueClass::included, .seed = recipe.seed});
  if (kind == "pair")
    return data::mapped_noise(std::move(dataset), {.rate = rate, .flips = data::pair_flips(classes), .seed = recipe.seed});
  const bool sequential = kind == "asymmetric-sequential";
  check(sequential || kind == "asymmetric", kOp,
        "expected noise of the kind symmetric, uniform, asymmetric, asymmetric-sequential, pair or file; got '{}'", kind);
  check(recipe.data == "cifar10" || recipe.data == "cifar100", kOp,
        "expected {} noise with cifar10 or cifar100, whose similar classes it maps; got {}", kind, recipe.data);
  return data::mapped_noise(std::move(dataset),
                            {.rate = rate,
                             .flips = recipe.data == "cifar10" ? data::cifar10_flips() : data::cifar100_flips(),
                             .from = sequential ? data::FlipFrom::flipped : data::FlipFrom::original,
                             .seed = recipe.seed});
}

}  // namespace

DataSets load_datasets(const DataRecipe& recipe) {
  check(recipe.validation >= 0 && recipe.validation < 1, kOp, "expected a share in [0, 1) to hold out; got {}",
        recipe.validation);
  const std::optional<data::Normalization> normalization = read_normalization(recipe.normalize);
  DataSets sets;
  check(recipe.meta_per_class >= 0, kOp, "expected meta images per class of at least 0; got {}", recipe.meta_per_class);
  const bool images = is_image_source(recipe);
  ImageSources sources = images ? load_image_sources(recipe) : ImageSources{.train = load(recipe, true, 0)};
  sets.skipped = std::move(sources.skipped);
  sets.workers = sources.workers;
  data::DatasetPtr source = sources.train;
  if (recipe.meta_per_class > 0) {
    data::Split split = data::balanced_split(source, recipe.meta_per_class, recipe.seed);
    source = split.kept;
    sets.meta = split.held_out;
  }
  sets.train = noisy(imbalanced(source, recipe), recipe);
  sets.test = images ? sources.test : load(recipe, false, sets.train->classes());
  sets.validation = sources.validation;
  check<DataError>(sets.train->size() > 0 && sets.test->size() > 0, kOp, "expected training and test samples; got {} and {}",
                   sets.train->size(), sets.test->size());
  if (recipe.validation > 0) {
    data::Split split = data::stratified_split(sets.train, recipe.validation, recipe.seed);
    sets.train = split.kept;
    sets.validation = split.held_out;
  }
  sets.normalize = normalization_of(sets, normalization, recipe);
  sets.class_counts = data::class_counts(sets.train);
  return sets;
}

LoadedPart load_part(const DataRecipe& recipe, Part part, const std::vector<std::string>& class_names) {
  const bool train = part == Part::train;
  LoadedPart loaded = is_image_source(recipe)
                          ? load_image_part(recipe, part, class_names)
                          : LoadedPart{load(recipe, train, recipe.data == "idx" && !train ? classes_of_idx(recipe) : 0)};
  check<DataError>(loaded.dataset->size() > 0, kOp, "expected {} samples; got none", train ? "training" : "test");
  return loaded;
}

}  // namespace heft::train
