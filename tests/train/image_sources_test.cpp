// load_datasets and prepare on folders and lists of images.
#include <filesystem>

#include "core/error.h"
#include "core/parallel.h"
#include "data/label_noise.h"
#include "tests/catch_compat.h"
#include "tests/data/image_files.h"
#include "train/datasets.h"
#include "train/fit.h"
#include "train/recipe.h"

using heft::DataError;
using heft::Shape;
using heft::ValueError;
using heft::test::contains;
using heft::test::message_of;
using heft::test::plain_png;
using heft::test::TemporaryDirectory;
using heft::train::DataRecipe;
using heft::train::DataSets;
using heft::train::load_datasets;
using Counts = std::vector<std::int64_t>;

namespace {

// Images of each class: red ones, green ones, blue ones, none like another.
void put_colours(const TemporaryDirectory& dir, const std::string& folder, const Counts& counts) {
  const char* names[] = {"red", "green", "blue"};
  for (std::size_t c = 0; c < counts.size(); ++c) {
    std::filesystem::create_directories(dir.file(folder + names[c]));
    for (std::int64_t i = 0; i < counts[c]; ++i) {
      std::vector<int> colour(3, static_cast<int>(i));
      colour[c] = 200;
      dir.write(folder + names[c] + "/" + std::to_string(100 + i) + ".png",
                plain_png(static_cast<std::uint32_t>(8 + i), 9, colour));
    }
  }
}

Counts counts_of(const heft::data::DatasetPtr& dataset) { return heft::data::class_counts(dataset); }
DataRecipe recipe_of(const TemporaryDirectory& dir) { return {.data = dir.path(), .image_size = 8}; }
std::string refusal(const DataRecipe& recipe) {
  return message_of<DataError>([&] { load_datasets(recipe); });
}

}  // namespace

TEST_CASE("images: train and val are the training and the test set", "[train][images]") {
  const TemporaryDirectory dir;
  put_colours(dir, "train/", {5, 4, 3});
  put_colours(dir, "val/", {1, 2, 1});
  const DataSets sets = load_datasets(recipe_of(dir));
  CHECK(sets.class_counts == Counts{3, 4, 5});  // blue, green, red
  CHECK(sets.train->class_names() == std::vector<std::string>{"blue", "green", "red"});
  CHECK(counts_of(sets.test) == Counts{1, 2, 1});
  CHECK(sets.validation == nullptr);
  CHECK(sets.train->get(0).image.shape() == Shape{3, 8, 8});
  REQUIRE(sets.normalize.mean.size() == 3);
  CHECK(sets.normalize.mean[0] == Approx((5 * 200 + (0 + 1 + 2 + 3) + (0 + 1 + 2)) / 12.0 / 255).epsilon(1e-5));
  CHECK(sets.workers == 1);

  put_colours(dir, "test/", {2, 2, 2});
  const DataSets three = load_datasets(recipe_of(dir));
  CHECK(counts_of(three.test) == Counts{2, 2, 2});
  REQUIRE(three.validation != nullptr);
  CHECK(counts_of(three.validation) == Counts{1, 2, 1});
  DataRecipe split = recipe_of(dir);
  split.validation = 0.34;
  const DataSets held = load_datasets(split);
  CHECK(counts_of(held.validation) == Counts{1, 1, 2});
  CHECK(counts_of(held.train) == Counts{2, 3, 3});
}

TEST_CASE("images: parts are known in any case, and nothing lies beside them", "[train][images]") {
  const TemporaryDirectory dir;
  put_colours(dir, "Train/", {4, 4, 4});
  put_colours(dir, "TEST/", {1, 1, 1});
  CHECK(counts_of(load_datasets(recipe_of(dir)).test) == Counts{1, 1, 1});
  std::filesystem::create_directories(dir.file("unlabelled/new"));
  CHECK(contains(refusal(recipe_of(dir)), "expected no other folder beside those of train, val and test in "));
  CHECK(contains(refusal(recipe_of(dir)), "; got unlabelled"));
  std::filesystem::remove_all(dir.file("unlabelled"));
  std::filesystem::create_directories(dir.file("train"));
  CHECK(contains(refusal(recipe_of(dir)), "expected one folder each of train, val (valid, validation) and test in "));
  std::filesystem::remove_all(dir.file("train"));
  std::filesystem::remove_all(dir.file("TEST"));
  std::filesystem::rename(dir.file("Train/red"), dir.file("bus"));  // a class called Train
  std::filesystem::rename(dir.file("Train/blue/100.png"), dir.file("Train/1.png"));
  CHECK(load_datasets(recipe_of(dir)).train->class_names() == std::vector<std::string>{"Train", "bus"});
}

TEST_CASE("images: without a test set a part of every class is one, the same for every seed", "[train][images]") {
  const TemporaryDirectory dir;
  put_colours(dir, "", {10, 10, 20});
  DataRecipe recipe = recipe_of(dir);
  const DataSets sets = load_datasets(recipe);
  CHECK(counts_of(sets.train) == Counts{16, 8, 8});
  CHECK(counts_of(sets.test) == Counts{4, 2, 2});
  recipe.seed = 5;
  recipe.validation = 0.25;
  const DataSets other = load_datasets(recipe);
  CHECK(other.test->indices() == sets.test->indices());
  CHECK(counts_of(other.validation) == Counts{4, 2, 2});
  CHECK(counts_of(other.train) == Counts{12, 6, 6});
  recipe.test_share = 0.5;
  CHECK(counts_of(load_datasets(recipe).test) == Counts{10, 5, 5});

  std::string list = "path,label\n";
  for (const char* name : {"red/100", "red/101", "blue/100", "blue/101"})
    list += std::string(name) + ".png," + (name[0] == 'r' ? "warm" : "cold") + "\n";
  const DataSets listed = load_datasets({.data = dir.write("list.csv", list), .image_size = 4});
  CHECK(listed.train->class_names() == std::vector<std::string>{"cold", "warm"});
  CHECK(counts_of(listed.train) == Counts{1, 1});
  CHECK(counts_of(listed.test) == Counts{1, 1});
  const TemporaryDirectory elsewhere;
  CHECK(load_datasets({.data = elsewhere.write("list.csv", list), .dir = dir.path(), .image_size = 4}).train->size() == 2);
}

TEST_CASE("images: imbalance, noise and meta images work on them", "[train][images]") {
  const TemporaryDirectory dir;
  put_colours(dir, "train/", {22, 22, 22});
  put_colours(dir, "test/", {1, 1, 1});
  DataRecipe recipe = recipe_of(dir);
  recipe.meta_per_class = 2;
  recipe.imbalance = "exp:0.25";
  recipe.noise = "symmetric:0.2";
  const DataSets sets = load_datasets(recipe);
  CHECK(sets.train->size() == 20 + 10 + 5);
  CHECK(counts_of(sets.meta) == Counts{2, 2, 2});
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < sets.train->size(); ++i) {
    const heft::data::Sample sample = sets.train->get(i);
    wrong += sample.label != sample.clean_label && sample.clean_label != -1;
  }
  CHECK(wrong == 4 + 2 + 1);
  CHECK(counts_of(sets.test) == Counts{1, 1, 1});
}

TEST_CASE("images: grey is what the training set is", "[train][images]") {
  const TemporaryDirectory dir;
  for (const std::string part : {"train/", "val/"})
    for (const std::string name : {"a", "b"}) {
      std::filesystem::create_directories(dir.file(part + name));
      dir.write(part + name + "/1.png", part == "train/" ? plain_png(4, 4, {90}) : plain_png(4, 4, {10, 20, 30}));
    }
  CHECK(load_datasets(recipe_of(dir)).test->get(0).image.shape() == Shape{1, 8, 8});
  DataRecipe colour = recipe_of(dir);
  colour.channels = 3;
  CHECK(load_datasets(colour).train->get(0).image.shape() == Shape{3, 8, 8});
}

TEST_CASE("images: broken files end it, or are skipped and told of", "[train][images]") {
  const TemporaryDirectory dir;
  put_colours(dir, "train/", {3, 3, 3});
  put_colours(dir, "val/", {1, 1, 1});
  dir.write("val/red/words.jpg", "words");
  DataRecipe recipe = recipe_of(dir);
  CHECK(contains(refusal(recipe), "1 of 4 are not: red/words.jpg is a text"));
  CHECK(contains(refusal(recipe), "val to be an image"));
  recipe.broken = "skip";
  for (const char* cache : {"none", "memory"}) {
    recipe.cache = cache;
    const DataSets sets = load_datasets(recipe);
    REQUIRE(sets.skipped.size() == 1);
    CHECK(sets.skipped[0].name == "val/red/words.jpg");
    CHECK(sets.skipped[0].reason == "is a text");
    CHECK(sets.test->size() == 3);
    CHECK(sets.workers == (recipe.cache == "none" ? heft::num_threads() : 1));
  }
}

TEST_CASE("images: wrong fields, folders and parts are named", "[train][images]") {
  const TemporaryDirectory dir;
  put_colours(dir, "train/", {2, 2, 2});
  const auto value_error = [&](auto&& change) {
    DataRecipe recipe = recipe_of(dir);
    change(recipe);
    return message_of<ValueError>([&] { load_datasets(recipe); });
  };
  CHECK(contains(value_error([](DataRecipe& r) { r.broken = "ignore"; }), "broken to be error or skip; got 'ignore'"));
  CHECK(contains(value_error([](DataRecipe& r) { r.cache = "disk"; }), "none, memory or file; got 'disk'"));
  CHECK(contains(value_error([](DataRecipe& r) { r.test_share = 0; }), "test share in (0, 1); got 0"));
  CHECK(contains(value_error([](DataRecipe& r) { r.image_size = 0; }), "expected size in [1, 16384]; got 0"));
  CHECK(contains(value_error([](DataRecipe& r) { r.channels = 4; }), "channels 1 or 3"));
  CHECK(contains(value_error([](DataRecipe& r) { r.data = "cifar11"; }), "got 'cifar11', which is none of these and no path"));
  CHECK(contains(refusal({.data = dir.file("none")}), "there is none at " + dir.file("none")));
  CHECK(contains(refusal({.data = "no_such_list.csv"}), "no_such_list.csv"));
  put_colours(dir, "test/", {1, 1});
  CHECK(contains(refusal(recipe_of(dir)), "expected the classes blue, green, red in "));
  put_colours(dir, "val/", {1, 1, 1});
  put_colours(dir, "validation/", {1, 1, 1});
  CHECK(contains(refusal(recipe_of(dir)), "expected one folder each of train, val (valid, validation) and test in "));
  for (const char* part : {"train", "test"}) std::filesystem::remove_all(dir.file(part));  // nor two of them alone
  CHECK(contains(refusal(recipe_of(dir)), "expected one folder each of train, val (valid, validation) and test in "));
  const TemporaryDirectory vehicles, outside;  // a class may be called train
  for (const std::string name : {"car", "train"}) put_colours(vehicles, name + "/", {3});
  CHECK(load_datasets(recipe_of(vehicles)).train->class_names() == std::vector<std::string>{"car", "train"});
  put_colours(outside, "", {1, 1});
  const TemporaryDirectory linked;
  put_colours(linked, "train/", {1, 1});
  std::filesystem::create_directory_symlink(outside.path(), linked.file("test"));
  CHECK(contains(refusal(recipe_of(linked)), linked.file("test") + " is a link that leads out of it"));
}

TEST_CASE("images: a network learns colours, with every augmentation, from every cache", "[train][images]") {
  const TemporaryDirectory dir;
  put_colours(dir, "", {30, 30, 30});
  for (const char* augment : {"none", "resized-crop-flip", "resized-crop-flip-jitter"}) {
    CAPTURE(augment);
    const auto losses = [&](const std::string& cache) {
      heft::train::Recipe recipe{
          .data = recipe_of(dir), .model = "mlp", .lr = 0.02, .epochs = 3, .batch_size = 16, .augment = augment};
      recipe.data.cache = cache;
      heft::train::Setup setup = heft::train::prepare(recipe);
      const heft::train::FitResult result = heft::train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
      CHECK(result.epochs.back().test->accuracy > 0.9);
      std::vector<double> out;
      for (const auto& epoch : result.epochs) out.push_back(epoch.train_loss);
      return out;
    };
    CHECK(losses("none") == losses("memory"));
  }
}
