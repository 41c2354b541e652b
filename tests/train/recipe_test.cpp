#include "train/recipe.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"
#include "data/relabel.h"
#include "tests/catch_compat.h"
#include "tests/train/blobs.h"
#include "tests/train/files.h"
#include "train/metrics_log.h"
#include "train/run_state.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::test::TemporaryDirectory;
using heft::train::DataRecipe;
using heft::train::Recipe;
using nlohmann::json;

TEST_CASE("recipe: what is unset gets the value that suits the optimizer", "[train][recipe]") {
  const Recipe sgd = train::resolved({});
  CHECK(*sgd.lr == 0.05);
  CHECK(*sgd.momentum == 0.9);
  CHECK(*sgd.weight_decay == 5e-4);
  const Recipe adamw = train::resolved({.optimizer = "adamw"});
  CHECK(*adamw.lr == 1e-3);
  CHECK_FALSE(adamw.momentum.has_value());
  CHECK(*adamw.weight_decay == 0.01);
  CHECK(*train::resolved({.class_weights = "deferred", .epochs = 10}).class_weights_from == 9);
  CHECK(*train::resolved({.class_weights = "deferred", .epochs = 1}).class_weights_from == 1);
  CHECK(*train::resolved({.class_weights = "deferred", .class_weights_from = 3}).class_weights_from == 3);

  const json config = json::parse(train::to_json({.optimizer = "absgd", .lambda = std::numeric_limits<double>::infinity()}));
  CHECK(config["optimizer"] == "absgd");
  CHECK(config["lambda"].is_null());
  CHECK(config["momentum"] == 0.9);
  CHECK(config["data"]["imbalance"] == "none");
  CHECK(config["class_weights_from"].is_null());
}

TEST_CASE("recipe: lambda comes in after 60 % of the epochs, with the gradient's norm bounded", "[train][recipe]") {
  const auto first_epoch = [](int epochs) { return *train::resolved({.optimizer = "absgd", .epochs = epochs}).lambda_from; };
  CHECK(first_epoch(10) == 7);
  CHECK(first_epoch(20) == 13);
  CHECK(first_epoch(1) == 1);
  CHECK(*train::resolved({.optimizer = "absgd"}).clip_norm == 1);
  CHECK(*train::resolved({.optimizer = "abadam", .clip_norm = 3}).clip_norm == 3);
  CHECK(std::isinf(*train::resolved({}).clip_norm));
  CHECK(*train::auto_lambda_rule("ess:0.4")->effective_share == 0.4);
  CHECK(*train::auto_lambda_rule("kl-epoch:0.3")->kl == 0.3);
  CHECK(train::auto_lambda_rule("kl-epoch:0.3")->when == optim::AutoLambda::When::on_adapt);
  CHECK(train::auto_lambda_rule("dual:0.3")->when == optim::AutoLambda::When::dual_step);
  CHECK_FALSE(train::auto_lambda_rule(""));
}

TEST_CASE("recipe: a wrong field is named", "[train][recipe]") {
  const auto refusal = [](const Recipe& recipe) { return message_of<ValueError>([&] { train::resolved(recipe); }); };
  CHECK(contains(refusal({.model = "lenet6"}), "lenet5"));
  CHECK(contains(refusal({.loss = "x"}), "hinge"));
  CHECK(contains(refusal({.optimizer = "x"}), "absgd"));
  CHECK(contains(refusal({.lr_schedule = "x"}), "one-cycle"));
  CHECK(contains(refusal({.class_weights = "x"}), "deferred"));
  CHECK(contains(refusal({.loss = "hinge", .loss_options = {{"label_smoothing", 0.1}}}),
                 "expected margin as options of hinge; got 'label_smoothing'"));
  CHECK(contains(refusal({.loss = "mse", .loss_options = {{"x", 0.1}}}), "expected none as options of mse"));
  CHECK(contains(refusal({.logit_norm = 3}), "logit-norm"));
  CHECK(contains(refusal({.sampling = "x"}), "balanced"));
  CHECK(contains(refusal({.optimizer = "adam", .momentum = 0.5}), "momentum"));
  CHECK(contains(refusal({.class_weights_from = 3}), "deferred"));
  CHECK(contains(refusal({.class_weights = "balanced", .class_weights_beta = 1}), "[0, 1); got 1"));
  CHECK(contains(refusal({.class_weights_beta = 0.9}), "class-weights none"));
  CHECK(contains(refusal({.lr = 0.0}), "lr"));
  CHECK(contains(refusal({.lr = std::numeric_limits<double>::quiet_NaN()}), "lr"));
  CHECK(contains(refusal({.optimizer = "absgd", .lambda_from = 0}), "lambda-from-epoch"));
  CHECK(contains(refusal({.lambda = 5.0}), "absgd"));
  CHECK(contains(refusal({.lambda_auto = "ess:0.5"}), "absgd"));
  CHECK(contains(refusal({.optimizer = "absgd", .lambda_auto = "ess"}), "'ess'"));
  CHECK(contains(refusal({.optimizer = "absgd", .lambda_auto = "share:0.5"}), "'share:0.5'"));
  CHECK(contains(refusal({.optimizer = "absgd", .lambda_schedule = "x"}), "cosine"));
  CHECK(contains(refusal({.class_weights_in = "x"}), "exponent"));
  CHECK(contains(refusal({.accumulate = 0}), "accumulate"));
  // Constants are refused here and not when the run comes to them.
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(contains(refusal({.lr = infinity}), "finite lr"));
  CHECK(contains(refusal({.weight_decay = -1.0}), "weight-decay"));
  CHECK(contains(refusal({.momentum = 1.0}), "momentum in [0, 1); got 1"));
  CHECK(contains(refusal({.optimizer = "absgd", .lambda = 0.0}), "lambda"));
  CHECK(contains(refusal({.optimizer = "absgd", .gamma = 0.0}), "gamma"));
  CHECK(contains(refusal({.optimizer = "abadam", .alpha = 2.0}), "alpha"));
  CHECK(contains(refusal({.optimizer = "absgd", .min_share = 1.0}), "min_share"));
  CHECK(contains(refusal({.optimizer = "absgd", .lambda_auto = "ess:1.5"}), "effective_share"));
  CHECK(contains(refusal({.optimizer = "absgd", .accumulate = 2, .lambda_auto = "ess:0.5"}), "got accumulate 2"));
  CHECK(contains(refusal({.loss = "focal", .loss_options = {{"gamma", -1}}}), "gamma"));
  CHECK(contains(refusal({.loss = "truncated_gce", .loss_options = {{"q", 2}}}), "q"));
  for (const std::string& loss : train::loss_names()) CHECK_NOTHROW(train::resolved({.loss = loss}));
  CHECK(contains(refusal({.epochs = 0}), "epochs"));
  CHECK(contains(refusal({.batch_size = 0}), "batch-size"));
}

TEST_CASE("load_datasets: a normalisation that is estimated, given, or none", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {100, 100, 100, 100}, {10, 10, 10, 10});
  const auto normalization = [&](const std::string& text) {
    return train::load_datasets({.data = "idx", .dir = folder.path(), .normalize = text}).normalize;
  };
  const data::Normalization estimated = normalization("estimated");
  CHECK(estimated.mean == data::estimate_normalization(train::load_datasets({.data = "idx", .dir = folder.path()}).train).mean);
  CHECK(normalization("none").empty());
  const data::Normalization given = normalization("0.5:0.25");
  CHECK(given.mean == std::vector<double>{0.5});
  CHECK(given.std == std::vector<double>{0.25});

  const auto refusal = [&](const std::string& text) { return message_of<ValueError>([&] { normalization(text); }); };
  CHECK(contains(refusal("imagenet"),
                 "a mean and a standard deviation for each channel of the images, 1; got 3, normalize imagenet"));
  for (const std::string text : {"", "estimate", "0.5", "0.5:", ":0.5", "0.5:0", "0.5:-1", "123.7:58.4", "0.5:1.5", "-0.5:0.5",
                                 "nan:1", "0.5:inf", "0.5:1,", "0.5,0.5:1"})
    CHECK(contains(refusal(text), "expected normalize to be estimated, none, imagenet, or "));
  // Before any data are read.
  CHECK(contains(message_of<ValueError>([] { train::load_datasets({.data = "idx", .dir = "nowhere", .normalize = "x"}); }),
                 "got 'x'"));
}

TEST_CASE("load_datasets: imbalance, class order and a held-out share", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {100, 100, 100, 100}, {10, 10, 10, 10});
  DataRecipe recipe{.data = "idx", .dir = folder.path(), .imbalance = "exp:0.1", .class_order = "reversed"};
  train::DataSets sets = train::load_datasets(recipe);
  CHECK(sets.class_counts == std::vector<std::int64_t>{10, 21, 46, 100});
  CHECK(sets.test->size() == 40);
  CHECK(sets.validation == nullptr);
  REQUIRE(sets.normalize.std.size() == 1);

  recipe.class_order = "2,0,3,1";
  CHECK(train::load_datasets(recipe).class_counts == std::vector<std::int64_t>{46, 10, 100, 21});
  recipe.imbalance = "step:0.2";
  CHECK(train::load_datasets(recipe).class_counts == std::vector<std::int64_t>{100, 20, 100, 20});
  recipe.validation = 0.1;
  sets = train::load_datasets(recipe);
  CHECK(sets.class_counts == std::vector<std::int64_t>{90, 18, 90, 18});
  REQUIRE(sets.validation != nullptr);
  CHECK(data::class_counts(sets.validation) == std::vector<std::int64_t>{10, 2, 10, 2});

  const auto refused = [&](const char* imbalance, const char* order) {
    return message_of<ValueError>(
        [&] { train::load_datasets({.data = "idx", .dir = folder.path(), .imbalance = imbalance, .class_order = order}); });
  };
  CHECK(contains(refused("exp", "label"), "'exp'"));
  CHECK(contains(refused("exp:0.1x", "label"), "'exp:0.1x'"));
  CHECK(contains(refused("exp:0.1", "random"), "'random'"));
  CHECK(contains(refused("exp:0.1", "1,2,"), "'1,2,'"));
  CHECK_FALSE(refused("exp:0.1", "0,0,1,2").empty());
  CHECK_FALSE(refused("exp:2", "label").empty());
  CHECK_THROWS_AS(train::load_datasets({.data = "cifar"}), ValueError);
  CHECK_THROWS_AS(train::load_datasets({.data = "idx"}), ValueError);
  CHECK(contains(message_of<DataError>([&] { train::load_datasets({.data = "idx", .dir = folder.file("none")}); }),
                 "train-images"));
  CHECK_THROWS_AS(train::load_datasets({.data = "idx", .dir = folder.path(), .validation = 1}), ValueError);
}

TEST_CASE("prepare: optimizers start from the same weights and see the same batches", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {50, 50, 50, 50}, {10, 10, 10, 10});
  std::vector<double> weights, first_losses;
  for (const std::string& optimizer : train::optimizer_names()) {
    INFO(optimizer);
    train::Setup setup = train::prepare({.data = {.data = "idx", .dir = folder.path()},
                                         .model = "mlp",
                                         .optimizer = optimizer,
                                         .lr_schedule = "cosine",
                                         .epochs = 2,
                                         .seed = 4});
    const std::vector<double> initial = setup.net->state().at("fc1.weight").to_vector<double>();
    if (weights.empty()) weights = initial;
    CHECK(weights == initial);
    double first = 0;
    setup.fit.on_step = [&](const train::StepReport& step) {
      if (first == 0) first = step.mean_loss;
    };
    const train::FitResult result = train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
    if (first_losses.empty()) first_losses.push_back(first);
    CHECK(first == first_losses[0]);
    CHECK(result.epochs.back().train_loss < result.epochs.front().train_loss);
    CHECK(result.epochs.back().lr < result.epochs.front().lr);
    CHECK((result.epochs.back().lambda == 5) == (optimizer[0] == 'a' && optimizer[1] == 'b'));
  }
  for (const std::string& loss : train::loss_names()) {
    INFO(loss);
    train::Setup setup =
        train::prepare({.data = {.data = "idx", .dir = folder.path()}, .model = "mlp", .loss = loss, .lr = 0.01, .epochs = 2});
    const train::FitResult result = train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
    CHECK(result.epochs.back().train_loss < result.epochs.front().train_loss);
  }
}

TEST_CASE("prepare: learning rates that fall in steps", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {20, 20}, {10, 10});
  const auto rates = [&](const std::string& schedule, int epochs) {
    const train::Setup setup = train::prepare({.data = {.data = "idx", .dir = folder.path()},
                                               .model = "mlp",
                                               .lr_schedule = schedule,
                                               .warm_up = 2,
                                               .epochs = epochs});
    std::vector<double> factors;
    for (int epoch = 0; epoch < epochs; ++epoch) factors.push_back(setup.fit.lr_factor(epoch));
    return factors;
  };
  CHECK(rates("step", 8) == std::vector<double>{0.5, 1, 1, 1, 0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1});
  std::vector<double> late(10, 1);
  late[0] = 0.5, late[8] = 0.01, late[9] = 0.01 * 0.01;
  CHECK(rates("late-step", 10) == late);
}

TEST_CASE("prepare: class weights average 1 over the samples, over the classes inside the exponent", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {80, 40, 20, 20}, {10, 10, 10, 10});
  Recipe recipe{
      .data = {.data = "idx", .dir = folder.path()}, .model = "mlp", .class_weights = "deferred", .class_weights_from = 3};
  train::Setup setup = train::prepare(recipe);
  CHECK(setup.fit.class_weights.to_vector<double>() == std::vector<double>{0.5, 1, 2, 2});
  CHECK(setup.fit.class_weights_from == 3);
  CHECK_FALSE(setup.fit.lambda);
  recipe.optimizer = "absgd";
  recipe.lambda_from = 2;
  setup = train::prepare(recipe);
  CHECK(setup.fit.class_weights.to_vector<double>() == std::vector<double>{0.5, 1, 2, 2});
  CHECK(setup.fit.class_weights_in == train::ClassWeightsIn::prior);
  recipe.class_weights_beta = 0;  // every class has one effective sample
  CHECK(train::prepare(recipe).fit.class_weights.to_vector<double>() == std::vector<double>{1, 1, 1, 1});
  recipe.class_weights_beta = std::nullopt;
  recipe.class_weights_in = "exponent";
  setup = train::prepare(recipe);
  CHECK(setup.fit.class_weights_in == train::ClassWeightsIn::exponent);
  const std::vector<double> weights = setup.fit.class_weights.to_vector<double>();
  CHECK(weights[0] == Approx(0.5 / 1.375));
  CHECK(weights[3] == Approx(2 / 1.375));
  CHECK(std::isinf(setup.fit.lambda(0)));
  CHECK(setup.fit.lambda(1) == 5);
}

TEST_CASE("metrics_line: fields and units", "[train][metrics]") {
  train::EpochReport report{.epoch = 2,
                            .train_loss = 0.5,
                            .train_accuracy = 0.75,
                            .collapsed_to = 3,
                            .lr = 0.05,
                            .images = 100,
                            .seconds = 2,
                            .images_per_second = 50};
  json line = json::parse(train::metrics_line(report));
  CHECK(line["epoch"] == 2);
  CHECK(line["lambda"].is_null());
  CHECK_FALSE(line.contains("test_accuracy"));
  report.lambda = 3;
  report.test = train::Evaluation{.samples = 2,
                                  .accuracy = 0.75,
                                  .balanced_accuracy = 0.5,
                                  .worst_class_accuracy = 0.25,
                                  .per_class_accuracy = {0.25, std::nullopt}};
  report.validation = report.test;
  line = json::parse(train::metrics_line(report));
  CHECK(line["lambda"] == 3);
  CHECK(line["train_loss"] == 0.5);
  CHECK(line["train_accuracy"] == 0.75);
  CHECK(line["collapsed_to"] == 3);
  CHECK(line["test_accuracy"] == 0.75);
  CHECK(line["balanced_accuracy"] == 0.5);
  CHECK(line["worst_class_accuracy"] == 0.25);
  CHECK(line["per_class_accuracy"] == json({0.25, nullptr}));
  CHECK(line["validation_accuracy"] == 0.75);
  CHECK(line["validation_per_class_accuracy"].size() == 2);
  CHECK(line["images_per_second"] == 50);
  CHECK(line["seconds"] == 2);
}

TEST_CASE("metrics_log: one line an epoch; a resumed run keeps the first ones", "[train][metrics]") {
  const TemporaryDirectory folder;
  const std::string path = folder.file("metrics.jsonl");
  const auto add = [&](int keep, int epoch) { train::MetricsLog(path, keep).add({.epoch = epoch}); };
  add(0, 1);
  add(1, 2);
  add(2, 3);
  add(2, 33);
  const std::string text = test::read_text(path);
  CHECK(std::count(text.begin(), text.end(), '\n') == 3);
  CHECK(contains(text, "\"epoch\":33,"));
  CHECK_FALSE(contains(text, "\"epoch\":3,"));
  CHECK_THROWS_AS(train::MetricsLog(path, 4), DataError);
  folder.write("metrics.jsonl", text.substr(0, text.size() - 5));
  CHECK(contains(test::message_of<DataError>([&] { train::MetricsLog(path, 3); }), "number 3 is cut off"));
  CHECK(test::read_text(path) == text.substr(0, text.size() - 5));  // and stays as it is
  add(0, 1);
  const std::string fresh = test::read_text(path);
  CHECK(std::count(fresh.begin(), fresh.end(), '\n') == 1);
}

TEST_CASE("prepare: every loss trains, from a recipe, and is evaluated without what belongs in training", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {50, 40, 30, 20}, {10, 10, 10, 10});
  for (const std::string& loss : train::loss_names())
    for (const std::string optimizer : {"sgd", "absgd"})
      for (const char* sampling : {"shuffled", "balanced"}) {
        INFO(loss << " by " << optimizer << ", " << sampling);
        train::Setup setup = train::prepare({.data = {.data = "idx", .dir = folder.path()},
                                             .model = "mlp",
                                             .loss = loss,
                                             .optimizer = optimizer,
                                             .epochs = 3,
                                             .sampling = sampling});
        const train::FitResult result = train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
        CHECK(result.epochs.back().test->balanced_accuracy > 0.5);
        CHECK(result.epochs.back().train_accuracy > 0.5);
        CHECK(result.epochs.back().test->calibration_error < 0.7);
        CHECK_FALSE(result.epochs.back().collapsed_to);
      }
  // The margins of ldam and the prior of logit adjustment are not in the loss that is reported on the test set.
  train::Setup ldam = train::prepare({.data = {.data = "idx", .dir = folder.path()}, .model = "mlp", .loss = "ldam"});
  CHECK(ldam.net->describe() != "");
  const Variable cosines(Tensor::from<float>({0.5, 0, 0, 0}).reshape({1, 4}));
  const Tensor label = Tensor::from<std::int64_t>({0});
  CHECK(ldam.fit.loss(cosines, label).value().item() > ldam.fit.evaluation_loss(cosines, label).value().item());
}

TEST_CASE("load_datasets: wrong labels, a clean meta set beside them, and what is refused", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {100, 100, 100, 100}, {10, 10, 10, 10});
  DataRecipe recipe{.data = "idx", .dir = folder.path(), .noise = "symmetric:0.4", .meta_per_class = 5};
  const train::DataSets sets = train::load_datasets(recipe);
  CHECK(sets.train->size() == 380);
  CHECK(data::noise_rate(sets.train).overall == Approx(0.4).margin(0.01));
  REQUIRE(sets.meta != nullptr);
  CHECK(data::class_counts(sets.meta) == std::vector<std::int64_t>{5, 5, 5, 5});
  CHECK(sets.meta->get(0).clean_label == -1);
  recipe.noise = "pair:0.25";
  CHECK(data::noise_rate(train::load_datasets(recipe).train).overall == Approx(0.25).margin(0.02));
  const auto refused = [&](const std::string& noise) {
    recipe.noise = noise;
    return message_of<ValueError>([&] { train::load_datasets(recipe); });
  };
  CHECK(contains(refused("symmetric"), "symmetric:RATE"));
  CHECK(contains(refused("heavy:0.1"), "'heavy'"));
  CHECK(contains(refused("asymmetric:0.1"), "cifar10"));
  CHECK(contains(refused("symmetric:1.5"), "1.5"));
  CHECK_THROWS_AS(train::load_datasets({.data = "cifar10"}), ValueError);
  CHECK_THROWS_AS(train::load_datasets({.data = "cifar10", .dir = folder.path()}), DataError);
}

TEST_CASE("prepare: the meta-learning reweighters train from a recipe", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10});
  for (const std::string reweight : {"l2rw", "meta_weight_net"}) {
    INFO(reweight);
    train::Setup setup =
        train::prepare({.data = {.data = "idx", .dir = folder.path(), .noise = "symmetric:0.3", .meta_per_class = 5},
                        .model = "mlp",
                        .reweight = reweight,
                        .epochs = 3});
    CHECK(setup.optimizer->reduction().name() == reweight);
    const train::FitResult result = train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
    CHECK(result.epochs.back().test->balanced_accuracy > 0.5);
    CHECK(result.epochs.back().memorised.value() < 0.6);
    setup.fit.meta = nullptr;
    CHECK(contains(message_of<ValueError>([&] { train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit); }),
                   "meta batches"));
  }
  CHECK(contains(message_of<ValueError>([] { train::resolved({.reweight = "l2rw", .optimizer = "absgd"}); }), "l2rw"));
  CHECK(contains(message_of<ValueError>([] { train::resolved({.reweight = "x"}); }), "meta_weight_net"));
}

TEST_CASE("prepare: augmentations and mixup train from a recipe", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10});
  const auto first_batch = [&](const std::string& augment, double mixup = 0) {
    const train::Setup setup = train::prepare(
        {.data = {.data = "idx", .dir = folder.path()}, .model = "mlp", .augment = augment, .mixup = mixup, .seed = 2});
    return *setup.loader->begin();
  };
  const data::Batch plain = first_batch("none");
  std::vector<std::vector<float>> seen;
  for (const std::string& augment : train::augment_names()) {
    INFO(augment);
    const data::Batch batch = first_batch(augment);
    CHECK(batch.indices.to_vector<std::int64_t>() == plain.indices.to_vector<std::int64_t>());
    CHECK_FALSE(batch.own_share.defined());
    const std::vector<float> images = batch.images.to_vector<float>();
    CHECK(std::count(seen.begin(), seen.end(), images) == 0);
    seen.push_back(images);
  }
  // Cut out is the mean colour, which is 0 once normalised; nothing else is.
  const std::vector<float> cut = first_batch("crop-flip-cutout").images.to_vector<float>();
  CHECK(std::count_if(cut.begin(), cut.end(), [](float x) { return std::abs(x) < 1e-6f; }) > static_cast<long>(cut.size() / 4));
  CHECK(first_batch("none", 0.2).own_share.defined());

  // A flip would exchange classes here.
  train::Setup setup =
      train::prepare({.data = {.data = "idx", .dir = folder.path()}, .model = "mlp", .epochs = 3, .mixup = 0.2});
  const train::FitResult result = train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
  CHECK(result.epochs.back().test->balanced_accuracy > 0.5);
  const auto meta_batch = [&](const std::string& augment) {
    return train::prepare(
               {.data = {.data = "idx", .dir = folder.path()}, .model = "mlp", .reweight = "l2rw", .augment = augment})
        .fit.meta->next();
  };
  const data::Batch changed = meta_batch("reflect-crop-flip"), unchanged = meta_batch("none");
  CHECK(changed.indices.to_vector<std::int64_t>() == unchanged.indices.to_vector<std::int64_t>());
  CHECK(changed.images.to_vector<float>() != unchanged.images.to_vector<float>());

  const auto refused = [](const Recipe& recipe) { return message_of<ValueError>([&] { train::resolved(recipe); }); };
  CHECK(contains(refused({.augment = "crop"}), "expected augment to be one of none, crop-flip, "));
  CHECK(contains(refused({.augment = "crop"}), "got 'crop'"));
  CHECK(contains(refused({.precision = "fp16"}), "expected precision to be one of tf32, f32, bf16; got 'fp16'"));
  for (const double alpha : {-0.2, 1e-4, 1e4, std::nan("")})
    CHECK(contains(refused({.mixup = alpha}), "expected mixup 0 or in [0.001, 1000]; got"));
  CHECK(contains(refused({.class_weights = "balanced", .mixup = 1}), "mixup 1 with class-weights balanced"));
  CHECK(contains(refused({.reweight = "group_dro", .mixup = 1}), "reweight group_dro"));
  CHECK(contains(refused({.reweight = "l2rw", .mixup = 1}), "reweight l2rw"));
  CHECK(contains(refused({.loss = "truncated_gce", .mixup = 1}), "loss truncated_gce"));
}

TEST_CASE("prepare: the robust reductions train from a recipe", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10});
  for (const std::string reweight : {"cvar:0.6", "chi_square:0.3", "top_k:0.6", "focal_weights", "group_dro:0.1"}) {
    INFO(reweight);
    train::Setup setup = train::prepare(
        {.data = {.data = "idx", .dir = folder.path()}, .model = "mlp", .reweight = reweight, .lr = 0.02, .epochs = 3});
    CHECK(setup.optimizer->reduction().name() == reweight.substr(0, reweight.find(':')));
    CHECK(setup.data.meta == nullptr);
    const train::FitResult result = train::fit(*setup.net, *setup.optimizer, *setup.loader, setup.fit);
    CHECK(result.epochs.back().test->balanced_accuracy > 0.5);
    CHECK(result.epochs.back().effective_share < 0.999);
  }
  const auto refused = [](train::Recipe recipe) { return message_of<ValueError>([&] { train::resolved(recipe); }); };
  CHECK(contains(refused({.reweight = "cvar:much"}), "cvar:ALPHA"));
  CHECK(contains(refused({.reweight = "cvar:2"}), "alpha"));
  CHECK(contains(refused({.reweight = "l2rw:2"}), "'l2rw:2'"));
  CHECK(contains(refused({.reweight = "cvar", .optimizer = "absgd"}), "absgd"));
  CHECK(contains(refused({.reweight = "cvar", .accumulate = 2}), "accumulate"));
  CHECK(contains(refused({.class_weights = "deferred", .reweight = "top_k"}), "deferred"));
  CHECK_NOTHROW(train::resolved({.class_weights = "deferred", .reweight = "focal_weights", .accumulate = 2}));
}

TEST_CASE("prepare: truncated_gce prunes when its recipe says, and its memory goes on with the run", "[train][recipe]") {
  const TemporaryDirectory folder;
  test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10});
  const train::Recipe recipe{.data = {.data = "idx", .dir = folder.path(), .noise = "symmetric:0.4"},
                             .model = "mlp",
                             .loss = "truncated_gce",
                             .loss_options = {{"from", 0.5}, {"every", 0.25}, {"k", 0.35}},
                             .epochs = 8};
  train::Setup straight = train::prepare(recipe);
  std::vector<std::int64_t> pruned;  // after each epoch
  straight.fit.on_epoch = [&](const train::EpochReport& report) {
    pruned.push_back(straight.memory->pruned());
    if (report.epoch == 6)
      train::save_run(folder.file("run"), *straight.net, *straight.optimizer, {.epochs = 6, .loss = straight.memory->state()});
  };
  const train::FitResult result = train::fit(*straight.net, *straight.optimizer, *straight.loader, straight.fit);
  CHECK(std::vector<std::int64_t>(pruned.begin(), pruned.begin() + 4) == std::vector<std::int64_t>(4, 0));
  CHECK(pruned[4] == pruned[5]);  // before epochs 5 and 7
  CHECK(pruned[6] == pruned[7]);
  // Of 240 labels 40 % were flipped; most of those are pruned, and few others.
  CHECK(pruned[7] > 60);
  CHECK(pruned[7] < 150);
  CHECK(result.epochs.back().test->accuracy > 0.8);

  train::Setup resumed = train::prepare(recipe);
  const train::RunState run = train::load_run(folder.file("run"), *resumed.net, *resumed.optimizer);
  resumed.memory->load_state(run.loss);
  CHECK(resumed.memory->pruned() == pruned[5]);
  resumed.fit.first_epoch = 7;
  train::fit(*resumed.net, *resumed.optimizer, *resumed.loader, resumed.fit);
  for (const auto& [name, value] : straight.net->state())
    CHECK(value.to_vector<double>() == resumed.net->state().at(name).to_vector<double>());

  CHECK(contains(message_of<ValueError>([] {
                   train::resolved({.loss = "truncated_gce", .loss_options = {{"from", 40}}});
                 }),
                 "share of the epochs"));
}
