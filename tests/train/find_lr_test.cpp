#include "train/find_lr.h"

#include <cmath>
#include <string>

#include "core/error.h"
#include "tests/catch_compat.h"
#include "tests/train/blobs.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::test::TemporaryDirectory;

namespace {

train::Setup setup_of(const TemporaryDirectory& data, train::Recipe recipe = {}) {
  recipe.data.data = "idx";
  recipe.data.dir = data.path();
  recipe.model = "mlp";
  recipe.batch_size = 32;
  return train::prepare(recipe);
}

}  // namespace

TEST_CASE("find_lr: rates grow by one factor, and the one suggested is a rate that learns", "[train][find_lr]") {
  const TemporaryDirectory data;
  test::write_blobs(data, {70, 60, 60, 50}, {10, 10, 10, 10});
  const std::string optimizer = GENERATE(std::string("sgd"), std::string("adam"), std::string("absgd"));
  train::Recipe recipe;
  recipe.optimizer = optimizer;
  recipe.accumulate = optimizer == "sgd" ? 2 : 1;
  train::Setup setup = setup_of(data, recipe);
  const train::LrRange range = train::find_lr(setup, {.from = 1e-5, .to = 100, .steps = 80});
  REQUIRE(range.points.size() > 20);
  CHECK(range.points[0].lr == 1e-5);
  CHECK(range.points[0].smoothed == Approx(range.points[0].loss));
  CHECK(range.points[1].smoothed == Approx((0.95 * range.points[0].loss + range.points[1].loss) / 1.95));
  for (std::size_t i = 1; i < range.points.size(); ++i)
    CHECK(range.points[i].lr / range.points[i - 1].lr == Approx(std::pow(1e7, 1.0 / 79)));
  REQUIRE(range.steepest.has_value());
  CHECK(*range.steepest <= range.lowest);
  CHECK(range.points.size() <= 80);

  CHECK(*range.suggested() <= range.lowest / 4);
  recipe.lr = range.suggested();
  recipe.epochs = 8;
  train::Setup run = setup_of(data, recipe);
  const train::FitResult result = train::fit(*run.net, *run.optimizer, *run.loader, run.fit);
  CHECK(result.epochs.back().train_loss < 0.7 * result.epochs.front().train_loss);
}

TEST_CASE("find_lr: a rate to begin with keeps away from the lowest loss, and was tried", "[train][find_lr]") {
  const auto suggested = [](double steepest, double lowest) {
    return train::LrRange{.points = {{.lr = 0.001}}, .steepest = steepest, .lowest = lowest}.suggested();
  };
  CHECK(suggested(0.05, 0.4) == 0.05);
  CHECK(suggested(0.33, 0.4) == 0.1);
  CHECK(suggested(0.002, 0.002) == 0.001);
  CHECK_FALSE(train::LrRange{}.suggested().has_value());
}

TEST_CASE("find_lr: a loss that diverges ends the test, and options that cannot be are refused", "[train][find_lr]") {
  const TemporaryDirectory data;
  test::write_blobs(data, {70, 60, 60, 50}, {10, 10, 10, 10});
  train::Setup setup = setup_of(data);
  const train::LrRange wild = train::find_lr(setup, {.from = 1, .to = 1e6, .steps = 200});
  CHECK(wild.diverged);
  CHECK(wild.points.size() < 200);
  train::Setup other = setup_of(data);
  const train::LrRange calm = train::find_lr(other, {.from = 1e-30, .to = 1e-20, .steps = 20});
  CHECK_FALSE(calm.diverged);
  CHECK(calm.points.size() == 20);

  const auto refusal = [&](const train::FindLrOptions& options) {
    return message_of<ValueError>([&] { train::find_lr(other, options); });
  };
  CHECK(contains(refusal({.from = 0}), "`from` above 0"));
  CHECK(contains(refusal({.from = 1, .to = 1}), "`to` above 1"));
  CHECK(contains(refusal({.to = INFINITY}), "finite `to`"));
  CHECK(contains(refusal({.steps = 9}), "steps >= 10"));
  CHECK(train::lr_line({.lr = 0.5, .loss = 2, .smoothed = 3}) == R"({"lr":0.5,"loss":2.0,"smoothed":3.0})");
}
