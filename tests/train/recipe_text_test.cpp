#include "train/recipe_text.h"

#include <limits>
#include <string>

#include "core/error.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using train::Recipe;

TEST_CASE("recipe_text: what comes back is the recipe, field by field", "[train][recipe]") {
  const double infinity = std::numeric_limits<double>::infinity();
  Recipe recipe{.data = {.data = "idx", .dir = "a \"folder\"/\xc3\xa9", .meta_per_class = 3, .seed = 5},
                .loss = "focal",
                .loss_options = {{"gamma", 0.1}},
                .optimizer = "absgd",
                .lr = 1.0 / 3,
                .clip_norm = infinity,
                .lambda = infinity,
                .epochs = 7};
  recipe.seed = std::numeric_limits<std::uint64_t>::max();
  for (const Recipe& r : {Recipe{}, recipe, train::resolved({.optimizer = "absgd"})}) {
    const Recipe back = train::read_recipe(train::recipe_text(r), "x");
    CHECK(train::recipe_text(back) == train::recipe_text(r));
    CHECK(train::difference(back, r).empty());
    CHECK(train::to_json(back) == train::to_json(r));
  }
  const Recipe back = train::read_recipe(train::recipe_text(recipe), "x");
  CHECK(back.lambda == infinity);
  CHECK(back.clip_norm == infinity);
  CHECK_FALSE(back.momentum.has_value());
  CHECK(back.lr == 1.0 / 3);
  CHECK(back.seed == recipe.seed);
  CHECK(back.data.dir == recipe.data.dir);
}

TEST_CASE("recipe_text: fields that differ are named with both values", "[train][recipe]") {
  Recipe a, b;
  b.lr = 0.5;
  b.seed = 1;
  b.loss_options["q"] = 0.2;
  CHECK(train::difference(b, a) == "loss_options {\"q\":0.2} instead of {}, lr 0.5 instead of unset, seed 1 instead of 0");
}

TEST_CASE("recipe_text: a text that is no recipe of ours is refused with its place", "[train][recipe]") {
  const auto refusal = [](const std::string& text) {
    const std::string message = message_of<DataError>([&] { train::read_recipe(text, "runs/x"); });
    CHECK(contains(message, "runs/x"));
    return message;
  };
  for (const char* text : {"", "{", "[]", "3", "\xff"}) refusal(text);
  CHECK(contains(refusal(R"({"lr": 1, "colour": 2})"), "'colour': another version"));
  CHECK(contains(refusal(R"({"lr": "fast"})"), "the recipe's lr in runs/x that fits; got \"fast\""));
  CHECK(contains(refusal(R"({"epochs": 1.5})"), "epochs"));
  CHECK(contains(refusal(R"({"epochs": 4294967296})"), "epochs"));
  CHECK(contains(refusal(R"({"seed": -1})"), "seed"));
  CHECK(contains(refusal(R"({"device": "tpu"})"), "device"));
  CHECK(contains(refusal(R"({"model": 1})"), "model"));
  CHECK(contains(refusal(R"({"loss_options": {"q": "x"}})"), "loss_options"));
  CHECK(contains(refusal(R"({"epochs": true})"), "epochs"));
}
