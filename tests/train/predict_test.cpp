#include "train/predict.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/random.h"
#include "data/resize.h"
#include "tests/catch_compat.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::train::ModelInfo;

namespace {

ModelInfo info_of(std::int64_t channels, std::int64_t side) {
  return {.model = "mlp", .options = {.classes = 3, .channels = channels, .image_size = side}};
}

Tensor image(const Shape& shape) { return (random_uniform(shape, 0, 255)).astype(DType::u8); }

}  // namespace

TEST_CASE("predict: an image becomes what the network was trained on", "[train][predict]") {
  ModelInfo info = info_of(2, 2);
  info.normalization = {.mean = {0.5, 0}, .std = {0.5, 2}};
  const Tensor small = Tensor::from(std::vector<std::uint8_t>{0, 255, 51, 102, 0, 255, 51, 102}, {2, 2, 2});
  const Tensor input = train::model_input({small, small}, info);
  REQUIRE(input.shape() == Shape{2, 2, 2, 2});
  const std::vector<float> got = input.to_vector<float>();
  const std::vector<double> expected{-1, 1, -0.6, -0.2, 0, 0.5, 0.1, 0.2};
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i % 8]).margin(1e-6));

  // Of another size: the square in the middle, as an image folder does it.
  info.normalization = {};
  const Tensor wide = image({2, 4, 10});
  const Tensor middle = data::resize(wide, 2, 2, data::Box{.top = 0, .left = 3, .height = 4, .width = 4});
  const std::vector<float> from_wide = train::model_input({wide}, info).to_vector<float>(), pixels = middle.to_vector<float>();
  REQUIRE(from_wide.size() == pixels.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) CHECK(from_wide[i] == Approx(pixels[i] / 255));
}

TEST_CASE("predict: probabilities, by the scale that the loss had", "[train][predict]") {
  manual_seed(3);
  ModelInfo info = info_of(1, 4);
  const ModulePtr net = models::make("mlp", info.options);
  const Tensor input = train::model_input({image({1, 4, 4}), image({1, 9, 7})}, info);
  const auto ratio = [](const Tensor& p) {
    const std::vector<double> values = p.to_vector<double>();
    CHECK(values[0] + values[1] + values[2] == Approx(1));
    return std::log(values[0] / values[1]);
  };
  const double plain = ratio(train::predict(*net, info, input));
  info.logit_scale = 10;
  CHECK(ratio(train::predict(*net, info, input)) == Approx(10 * plain));
  CHECK(net->training());

  Variable weight = net->parameters()[0];
  weight.set_value(Tensor::full(weight.shape(), std::numeric_limits<double>::infinity()));
  CHECK_THROWS_AS(train::predict(*net, info, input), NumericError);
}

TEST_CASE("predict: the k most probable classes", "[train][predict]") {
  const Tensor p = Tensor::from(std::vector<double>{0.1, 0.6, 0.3, 0.4, 0.2, 0.4}, {2, 3});
  const auto best = train::top_k(p, 0, 2);
  REQUIRE(best.size() == 2);
  CHECK(best[0].label == 1);
  CHECK(best[0].probability == 0.6);
  CHECK(best[1].label == 2);
  const auto all = train::top_k(p, 1, 9);
  REQUIRE(all.size() == 3);
  CHECK(all[0].label == 0);
  CHECK(all[1].label == 2);
  CHECK_THROWS_AS(train::top_k(p, 2, 1), ShapeError);
  CHECK_THROWS_AS(train::top_k(p, 0, 0), ValueError);
}

TEST_CASE("predict: images that do not fit are refused", "[train][predict]") {
  const ModelInfo info = info_of(3, 4);
  CHECK(contains(message_of<ShapeError>([&] { train::model_input({image({1, 4, 4})}, info); }), "(3, H, W); got (1, 4, 4)"));
  CHECK(contains(message_of<DTypeError>([&] { train::model_input({Tensor::ones({3, 4, 4})}, info); }), "u8"));
  CHECK(contains(message_of<ValueError>([&] { train::model_input({}, info); }), "at least one"));
}
