#include "train/recipe_fields.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "tests/catch_compat.h"
#include "train/recipe_text.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::train::FieldValue;
using heft::train::Recipe;
using nlohmann::json;

namespace heft::test {

struct Anything {
  template <class T>
  operator T&() const&;
  template <class T>
  operator T&&() const&&;
};

}  // namespace heft::test

namespace {

std::string pointer_of(std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return "/" + name;
}

// How many members an aggregate has: the most things of any kind that it can be initialised from.
template <class T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires { T{(static_cast<void>(I), heft::test::Anything{})...}; };
}
template <class T, std::size_t N = 64>
constexpr std::size_t members() {
  if constexpr (takes<T>(std::make_index_sequence<N>())) return N;
  else return members<T, N - 1>();
}

}  // namespace

TEST_CASE("recipe fields: all members of a recipe have a name, which reads and writes", "[train][recipe]") {
  const std::vector<std::string> names = train::recipe_field_names();
  CHECK(names.size() == members<Recipe>() - 1 + members<train::DataRecipe>());  // but data itself
  const json written = json::parse(train::to_json({}));
  for (const std::string& name : names) {
    INFO(name);
    if (name != "loss_options.NAME") CHECK(written.contains(json::json_pointer(pointer_of(name))));
  }
}

TEST_CASE("recipe fields: what is set is what the recipe says", "[train][recipe]") {
  Recipe recipe;
  const auto set = [&recipe](const std::string& name, const FieldValue& value) { train::set_field(recipe, {name, value}); };
  set("data.imbalance", std::string("exp:0.1"));
  set("data.validation", 0.25);
  set("data.seed", std::int64_t{7});
  set("loss", std::string("focal"));
  set("loss_options.gamma", std::int64_t{2});
  set("optimizer", std::string("absgd"));
  set("lr", 0.01);
  set("lambda", std::numeric_limits<double>::infinity());
  set("lambda_from", std::int64_t{3});
  set("batch_size", std::int64_t{64});
  set("augment", std::string("crop-flip"));
  set("mixup", std::int64_t{1});
  set("device", std::string("cuda"));
  set("record_steps", false);
  CHECK_FALSE(recipe.record_steps);
  CHECK(recipe.data.imbalance == "exp:0.1");
  CHECK(recipe.data.validation == 0.25);
  CHECK(recipe.data.seed == 7);
  CHECK(recipe.loss_options.at("gamma") == 2);
  CHECK(recipe.lr == 0.01);
  CHECK(std::isinf(*recipe.lambda));
  CHECK(recipe.lambda_from == 3);
  CHECK(recipe.batch_size == 64);
  CHECK(recipe.augment == "crop-flip");
  CHECK(recipe.mixup == 1);
  CHECK(recipe.device == Device::cuda());
  const json written = json::parse(train::to_json(recipe));
  CHECK(written["loss_options"]["gamma"] == 2);
  CHECK(written["data"]["seed"] == 7);
  CHECK(str(train::RecipeFields{{"lr", 0.5}, {"epochs", std::int64_t{3}}, {"loss", std::string("mse")}}) ==
        "lr = 0.5, epochs = 3, loss = 'mse'");
}

TEST_CASE("recipe fields: a wrong name or type is refused with its place", "[train][recipe]") {
  const auto refusal = [](const std::string& name, const FieldValue& value) {
    Recipe recipe;
    return message_of<ValueError>([&] { train::set_field(recipe, {name, value, "a.toml:7"}); });
  };
  CHECK(refusal("lamda", 5.0) == "[recipe] expected the name of a field of a recipe at a.toml:7, perhaps lambda; got 'lamda'");
  CHECK(contains(refusal("imbalance", std::string("none")), "perhaps data.imbalance"));
  CHECK(contains(refusal("data.lr", 0.1), "perhaps lr"));
  CHECK(contains(refusal("meta_per_clas", 1.0), "perhaps data.meta_per_class"));
  CHECK(contains(refusal("loss_options", 1.0), "perhaps loss_options.NAME"));
  CHECK(contains(refusal("lr", std::string("fast")), "expected a number for lr at a.toml:7; got 'fast'"));
  CHECK(contains(refusal("lr", true), "got true"));
  CHECK(contains(refusal("loss_options.q", std::string("x")), "expected a number for loss_options.q"));
  CHECK(contains(refusal("epochs", 2.5), "expected a whole number for epochs at a.toml:7; got 2.5"));
  CHECK(contains(refusal("epochs", std::int64_t{1} << 40), "epochs"));
  CHECK(contains(refusal("data.seed", std::int64_t{-1}), "from 0 on"));
  CHECK(contains(refusal("model", std::int64_t{5}), "expected a text for model"));
  CHECK(contains(refusal("device", std::string("tpu")), "'cpu' or 'cuda'"));
  CHECK(contains(refusal("record_steps", std::int64_t{1}), "expected true or false for record_steps"));
}

TEST_CASE("recipe fields: a recipe taken apart and put together is the same, as fields and as TOML", "[train][recipe]") {
  Recipe recipe;
  recipe.data.dir = "a \"b\"\\\n\x01";
  recipe.data.seed = std::numeric_limits<std::uint64_t>::max();
  recipe.optimizer = "absgd";
  recipe.lambda = -std::numeric_limits<double>::infinity();
  recipe.lr = 1e-7;
  recipe.loss_options = {{"label_smoothing", 0.1}};
  recipe.device = Device::cuda();
  recipe.record_steps = false;
  Recipe again;
  for (const train::RecipeField& field : train::fields_of(recipe)) train::set_field(again, field);
  CHECK(train::difference(again, recipe).empty());
  const std::string toml = train::to_toml(train::fields_of(recipe));
  CHECK(contains(toml, "data.dir = \"a \\\"b\\\"\\\\\\u000a\\u0001\"\n"));
  CHECK(contains(toml, "data.seed = \"18446744073709551615\"\n"));
  CHECK(contains(toml, "lambda = -inf\n"));
  CHECK(contains(toml, "record_steps = false\n"));
  CHECK(contains(toml, "lr = 1e-07\n"));
  CHECK(contains(toml, "loss_options.label_smoothing = 0.1\n"));
  CHECK_FALSE(contains(toml, "gamma"));  // unset
}

TEST_CASE("recipe fields: what a recipe says that it would not have by itself", "[train][recipe]") {
  const auto changed = [](const Recipe& recipe) { return str(train::changed_fields(recipe)); };
  CHECK(changed({}).empty());
  CHECK(changed(train::resolved({})).empty());
  Recipe recipe;
  recipe.lr = 0.05;  // as it is by itself
  recipe.epochs = 20;
  recipe.loss = "focal";
  recipe.loss_options["gamma"] = 1;
  CHECK(changed(recipe) == "loss = 'focal', epochs = 20");
  recipe.loss_options["gamma"] = 2;
  recipe.optimizer = "absgd";
  recipe.lambda = 5;
  CHECK(changed(recipe) == "loss = 'focal', loss_options.gamma = 2, optimizer = 'absgd', epochs = 20");
  recipe.lambda = std::numeric_limits<double>::infinity();
  recipe.lambda_from = 13;  // as 20 epochs make it
  CHECK(changed(recipe) == "loss = 'focal', loss_options.gamma = 2, optimizer = 'absgd', lambda = inf, epochs = 20");
}

TEST_CASE("recipe fields: from texts", "[train][recipe]") {
  const auto set = [](const std::string& name, const std::string& text) {
    Recipe recipe;
    train::set_field(recipe, train::field_of_text(name, text, "HERE"));
    return recipe;
  };
  CHECK(set("epochs", "20").epochs == 20);
  CHECK(set("lr", "20").lr == 20);
  CHECK(set("lr", "1e-3").lr == 1e-3);
  CHECK(std::isinf(*set("lambda", "inf").lambda));
  CHECK(set("data.dir", "20").data.dir == "20");
  CHECK(set("device", "cuda").device == Device::cuda());
  CHECK_FALSE(set("record_steps", "false").record_steps);
  CHECK(set("seed", "18446744073709551615").seed == std::numeric_limits<std::uint64_t>::max());
  const auto refusal = [&](const std::string& name, const std::string& text) {
    return message_of<ValueError>([&] { set(name, text); });
  };
  CHECK(contains(refusal("lr", "fast"), "expected a number for lr at HERE; got 'fast'"));
  CHECK(contains(refusal("lr", ""), "got ''"));
  CHECK(contains(refusal("epochs", "2.5"), "expected a whole number for epochs at HERE; got 2.5"));
  CHECK(contains(refusal("epochs", "18446744073709551615"), "got '18446744073709551615'"));
}
