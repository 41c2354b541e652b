#include "train/image_sources.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/check.h"
#include "core/parallel.h"
#include "data/split.h"

namespace heft::train {
namespace {

constexpr const char* kOp = "load_datasets";

data::ImageFolderOptions options_of(const DataRecipe& recipe) {
  const std::string &broken = recipe.broken, &cache = recipe.cache;
  check(broken == "error" || broken == "skip", kOp, "expected broken to be error or skip; got '{}'", broken);
  check(cache == "none" || cache == "memory" || cache == "file", kOp, "expected cache to be none, memory or file; got '{}'",
        cache);
  check(recipe.test_share > 0 && recipe.test_share < 1, kOp, "expected a test share in (0, 1); got {}", recipe.test_share);
  return {.size = recipe.image_size,
          .channels = recipe.channels,
          .broken = broken == "skip" ? data::WhenBroken::skip : data::WhenBroken::error,
          .cache = cache == "none"     ? data::ImageCaching::none
                   : cache == "memory" ? data::ImageCaching::memory
                                       : data::ImageCaching::file};
}

// Where there is no test set, images are held out of each class that has more than one.
void check_test_share(const data::ImagePart& part, const std::vector<std::int64_t>& by_class) {
  check<DataError>(std::any_of(by_class.begin(), by_class.end(), [](std::int64_t n) { return n > 1; }), kOp,
                   "expected a class of two images or more in {}, to hold a test set out of; got one image of each",
                   part.scan.source.string());
}

}  // namespace

bool is_image_source(const DataRecipe& recipe) {
  for (const char* name : {"fashion-mnist", "idx", "cifar10", "cifar100"})
    if (recipe.data == name) return false;
  std::error_code error;
  return recipe.data.find('/') != std::string::npos || recipe.data.ends_with(".csv") ||
         std::filesystem::is_directory(recipe.data, error);
}

ImageSources load_image_sources(const DataRecipe& recipe) {
  data::ImageFolderOptions options = options_of(recipe);
  ImageSources sources;
  const auto load = [&](const data::ImagePart& part) {
    data::ImageFolder loaded = data::load_images(part.scan, options);
    for (data::BrokenFile& file : loaded.skipped) {
      if (!part.name.empty()) file.name = part.name + '/' + file.name;
      sources.skipped.push_back(std::move(file));
    }
    return loaded.dataset;
  };
  const std::vector<data::ImagePart> parts = data::scan_images(recipe.data, recipe.dir);
  sources.train = load(parts.front());
  // The others are what the training set is: its classes, in its order, and grey or not.
  options.class_names = sources.train->class_names();
  options.channels = sources.train->get(0).image.size(0);
  for (std::size_t i = 1; i < parts.size(); ++i) (parts[i].name == "test" ? sources.test : sources.validation) = load(parts[i]);
  if (!sources.test) sources.test = std::exchange(sources.validation, nullptr);
  if (!sources.test) {
    check_test_share(parts.front(), data::class_counts(sources.train));
    const data::Split split = data::stratified_split(sources.train, recipe.test_share);
    sources.train = split.kept;
    sources.test = split.held_out;
  }
  if (options.cache == data::ImageCaching::none) sources.workers = std::max(1, num_threads());
  return sources;
}

void check_image_sources(const DataRecipe& recipe, const std::vector<data::ImagePart>& parts,
                         const std::vector<data::ImageCounts>& counts) {
  data::ImageFolderOptions options = options_of(recipe);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    data::check_usable(parts[i].scan, counts[i], options);
    options.class_names = parts.front().scan.class_names;
  }
  if (parts.size() == 1) check_test_share(parts.front(), counts.front().by_class);
}

LoadedPart load_image_part(const DataRecipe& recipe, Part part, const std::vector<std::string>& class_names) {
  data::ImageFolderOptions options = options_of(recipe);
  options.class_names = class_names;
  const std::vector<data::ImagePart> parts = data::scan_images(recipe.data, recipe.dir);
  // In the order train, val, test: the last one is the test set, val where there is no test.
  data::ImageFolder images = data::load_images((part == Part::train ? parts.front() : parts.back()).scan, options);
  if (parts.size() == 1) {
    const data::Split split = data::stratified_split(images.dataset, recipe.test_share);
    images.dataset = part == Part::train ? split.kept : split.held_out;
  }
  return {images.dataset, images.skipped};
}

}  // namespace heft::train
