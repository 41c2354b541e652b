#include "layers/models.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/error.h"
#include "core/random.h"
#include "layers/summary.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;

namespace {

std::vector<std::string> state_names(const Module& net) {
  std::vector<std::string> all;
  for (const auto& [name, value] : net.state()) all.push_back(name);
  return all;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

TEST_CASE("models have the published numbers of parameters", "[layers]") {
  CHECK(models::mlp()->parameter_count() == 669706);
  CHECK(models::lenet5()->parameter_count() == 61706);
  CHECK(models::vgg_small()->parameter_count() == 1187274);
  CHECK(models::cifar_resnet({.depth = 20})->parameter_count() == 269722);
  CHECK(models::cifar_resnet({.depth = 32})->parameter_count() == 464154);
  CHECK(models::cifar_resnet({.depth = 32, .classes = 100})->parameter_count() == 470004);
  CHECK(models::cifar_resnet({.depth = 20, .channels = 1})->parameter_count() == 269722 - 2 * 16 * 9);
  CHECK(models::resnet({.depth = 18})->parameter_count() == 11689512);
  CHECK(models::resnet({.depth = 18, .classes = 10, .small_images = true})->parameter_count() == 11173962);
}

TEST_CASE("models end in a normed classifier on request, under the names they have without", "[layers]") {
  CHECK(models::cifar_resnet({.depth = 32, .normed_classifier = true})->parameter_count() == 464144);
  CHECK(models::cifar_resnet({.depth = 32, .classes = 100, .normed_classifier = true})->parameter_count() == 469904);
  for (const char* name : {"mlp", "lenet5", "vgg_small", "resnet20"}) {
    INFO(name);
    const auto plain = models::make(name, {.image_size = 32}),
               normed = models::make(name, {.image_size = 32, .normed_classifier = true});
    const std::vector<std::string> with_bias = state_names(*plain), without = state_names(*normed);
    std::vector<std::string> missing;
    std::set_difference(with_bias.begin(), with_bias.end(), without.begin(), without.end(), std::back_inserter(missing));
    REQUIRE(missing.size() == 1);
    CHECK(with_bias.size() == without.size() + 1);
    const std::string classifier = missing[0].substr(0, missing[0].find('.'));
    CHECK(missing[0] == classifier + ".bias");
    CHECK(contains(normed->module(classifier).describe(), "NormedLinear("));

    // State interchanges but for that bias, in both directions.
    CHECK_NOTHROW(normed->load_state(plain->state(), false));
    CHECK_NOTHROW(plain->load_state(normed->state(), false));
    CHECK_THROWS_AS(normed->load_state(plain->state()), ValueError);
    for (const double cosine : (*normed)(random_normal({2, 1, 32, 32})).value().to_vector<double>())
      CHECK(std::abs(cosine) < 1.00001);
  }
}

TEST_CASE("a CIFAR ResNet's Kaiming weights leave a normed classifier its rows of length 1", "[layers]") {
  const auto state = models::cifar_resnet({.normed_classifier = true})->state();
  double square = 0;
  for (const double v : state.at("linear.weight").select(0, 3).to_vector<double>()) square += v * v;
  CHECK(square == Approx(1).epsilon(1e-5));
}

TEST_CASE("ResNet-34 has the published number of parameters", "[layers][slow]") {
  CHECK(models::resnet({.depth = 34})->parameter_count() == 21797672);
}

TEST_CASE("models take images to logits", "[layers]") {
  const auto logits = [](const ModulePtr& net, const Shape& image) { return (*net)(Tensor::zeros(image)).shape(); };
  CHECK(logits(models::mlp({.inputs = 12, .hidden = {5}, .classes = 3}), {2, 3, 2, 2}) == Shape{2, 3});
  CHECK(logits(models::mlp({.inputs = 12, .hidden = {}, .classes = 3}), {2, 12}) == Shape{2, 3});
  CHECK(logits(models::lenet5(), {2, 1, 28, 28}) == Shape{2, 10});
  CHECK(logits(models::lenet5({.classes = 4, .channels = 3, .image_size = 13}), {2, 3, 13, 13}) == Shape{2, 4});
  CHECK(logits(models::vgg_small({.classes = 5, .channels = 1, .image_size = 20}), {2, 1, 20, 20}) == Shape{2, 5});
  CHECK(logits(models::cifar_resnet({.classes = 7, .channels = 1}), {2, 1, 28, 28}) == Shape{2, 7});
  CHECK(logits(models::resnet({.classes = 6, .small_images = true}), {2, 3, 16, 16}) == Shape{2, 6});
  const auto imagenet = models::resnet({.classes = 6, .normed_classifier = true});
  CHECK(logits(imagenet, {2, 3, 40, 40}) == Shape{2, 6});
  CHECK(imagenet->module("fc").describe() == "NormedLinear(512 -> 6)");
}

TEST_CASE("state names are the customary ones", "[layers]") {
  const auto lenet = state_names(*models::lenet5());
  CHECK(lenet == std::vector<std::string>{"conv1.bias", "conv1.weight", "conv2.bias", "conv2.weight", "fc1.bias", "fc1.weight",
                                          "fc2.bias", "fc2.weight", "fc3.bias", "fc3.weight"});
  const auto cifar = state_names(*models::cifar_resnet({.depth = 20}));
  CHECK(cifar.size() == 19 * 6 + 2);
  for (const char* name : {"conv1.weight", "bn1.running_mean", "bn1.num_batches_tracked", "layer1.0.conv1.weight",
                           "layer3.2.bn2.running_var", "linear.weight", "linear.bias"})
    CHECK(has(cifar, name));
  const auto imagenet = state_names(*models::resnet({.depth = 18}));
  CHECK(imagenet.size() == 122);  // as in torchvision
  for (const char* name : {"layer2.0.downsample.0.weight", "layer4.1.bn2.num_batches_tracked", "fc.bias"})
    CHECK(has(imagenet, name));
  CHECK_FALSE(has(imagenet, "layer1.0.downsample.0.weight"));
  const auto vgg = state_names(*models::vgg_small());
  for (const char* name : {"features.0.weight", "features.1.running_mean", "features.17.weight", "classifier.bias"})
    CHECK(has(vgg, name));
}

TEST_CASE("the shortcut without parameters subsamples and pads channels on both sides", "[layers]") {
  // With bn2's scale at zero a block is relu(shortcut(x)).
  const auto net = models::cifar_resnet({.depth = 8});
  net->eval();
  for (auto& [name, parameter] : net->named_parameters())
    if (contains(name, "bn2.weight")) parameter.set_value(Tensor::zeros(parameter.shape()));
  auto found = net->features(random_normal({1, 3, 8, 8}), {"layer1", "layer2"});
  const std::vector<float> before = found.at("layer1").value().to_vector<float>();
  const std::vector<float> after = found.at("layer2").value().to_vector<float>();
  REQUIRE(found.at("layer2").shape() == Shape{1, 32, 4, 4});
  for (std::size_t c = 0; c < 32; ++c)
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t j = 0; j < 4; ++j) {
        const float expected = c < 8 || c >= 24 ? 0 : before[((c - 8) * 8 + 2 * i) * 8 + 2 * j];
        CHECK(after[(c * 4 + i) * 4 + j] == expected);
      }
}

TEST_CASE("CIFAR ResNets start from Kaiming normal weights", "[layers]") {
  manual_seed(2);
  const auto state = models::cifar_resnet({.classes = 100})->state();
  const auto deviation = [&](const char* name) {
    double square = 0;
    const auto values = state.at(name).to_vector<double>();
    for (const double v : values) square += v * v;
    return std::sqrt(square / static_cast<double>(values.size()));
  };
  CHECK(deviation("layer3.1.conv1.weight") == Approx(std::sqrt(2.0 / 576)).epsilon(0.03));
  CHECK(deviation("linear.weight") == Approx(std::sqrt(2.0 / 64)).epsilon(0.05));
  for (const double v : state.at("linear.bias").to_vector<double>()) CHECK(std::abs(v) <= 0.125);
}

TEST_CASE("models are made by name", "[layers]") {
  for (const std::string& name : models::names()) {
    if (name == "resnet34") continue;  // counted above; large
    INFO(name);
    const auto net = models::make(name, {.classes = 3, .channels = 2, .image_size = 16});
    net->eval();
    CHECK((*net)(Tensor::zeros({1, 2, 16, 16})).shape() == Shape{1, 3});
  }
  const std::string message = message_of<ValueError>([] { models::make("lenet"); });
  CHECK(contains(message, "expected one of mlp, lenet5, vgg_small, resnet20"));
  CHECK(contains(message, "got 'lenet'"));
}

TEST_CASE("options of models are refused by name", "[layers]") {
  CHECK(contains(message_of<ValueError>([] { models::mlp({.inputs = 0}); }), "[mlp] expected inputs >= 1; got 0"));
  CHECK(contains(message_of<ValueError>([] { models::mlp({.hidden = {3, 0}}); }), "hidden >= 1; got 0"));
  CHECK(contains(message_of<ValueError>([] { models::lenet5({.image_size = 11}); }), "image_size >= 12; got 11"));
  CHECK(contains(message_of<ValueError>([] { models::lenet5({.classes = 0}); }), "[lenet5] expected classes >= 1"));
  CHECK(contains(message_of<ValueError>([] { models::vgg_small({.channels = 0}); }), "[vgg_small] expected channels >= 1"));
  CHECK(contains(message_of<ValueError>([] { models::cifar_resnet({.depth = 21}); }), "depth = 6 n + 2 with n >= 1; got 21"));
  CHECK(contains(message_of<ValueError>([] { models::resnet({.depth = 50}); }), "depth 18 or 34; got 50"));
}

TEST_CASE("the summary is a table that changes nothing", "[layers]") {
  const auto net = models::cifar_resnet();
  net->module("layer1").eval();
  net->module("bn1").set_requires_grad(false);
  const Summary summary = summarize(*net, {4, 3, 32, 32});
  CHECK(net->training());
  CHECK_FALSE(net->module("layer1.0.bn1").training());
  CHECK(net->module("layer2.0.bn1").training());
  CHECK(net->state().at("bn1.num_batches_tracked").item<std::int64_t>() == 0);

  CHECK(summary.parameters == 269722);
  CHECK(summary.trainable == 269722 - 32);
  CHECK(summary.parameter_bytes == 4 * (269722 + 2 * (16 * 7 + 32 * 6 + 64 * 6)) + 8 * 19);
  const auto row = [&](const std::string& name) {
    return *std::find_if(summary.rows.begin(), summary.rows.end(), [&](const SummaryRow& r) { return r.name == name; });
  };
  CHECK(row("layer2").output == Shape{4, 32, 16, 16});
  CHECK_FALSE(row("layer2").leaf);
  CHECK(row("conv1").output_bytes == 4 * 16 * 32 * 32 * 4);
  CHECK(row("").output == Shape{4, 10});

  const std::string text = summary.str();
  CHECK(contains(text, "layer3.0.conv1  Conv2d(32 -> 64, 3x3, stride 2x2, padding 1x1, no bias)  (4, 64, 8, 8)"));
  CHECK(contains(text, "18,432"));
  CHECK(contains(text, "256.0 KiB"));
  CHECK(contains(text, "269,722 parameters, 269,690 of them trainable"));
}
