#include "train/model_file.h"

#include <map>
#include <string>

#include "core/memory.h"
#include "core/random.h"
#include "layers/activation.h"
#include "layers/linear.h"
#include "layers/sequential.h"
#include "tests/catch_compat.h"
#include "tests/train/files.h"
#include "train/run_state.h"
#include "train/safetensors.h"

using namespace heft;
using heft::test::contains;
using heft::test::message_of;
using heft::test::TemporaryDirectory;
using heft::train::ModelFile;
using heft::train::ModelInfo;
using heft::train::SafeTensors;

namespace {

ModelInfo small_info() {
  return {.model = "lenet5",
          .options = {.classes = 3, .channels = 2, .image_size = 14},
          .class_names = {"cat, small", "\"dog\"\n", "\xc3\xa9l\xc3\xa9phant"},
          .normalization = {.mean = {0.1, 1.0 / 3}, .std = {0.5, 1e-3}},
          .logit_scale = 30};
}

// A good file with some of its metadata changed, and what reading it says.
std::string refusal(const TemporaryDirectory& folder, const std::map<std::string, std::string>& changes) {
  const std::string path = folder.file("changed.safetensors");
  const ModelInfo info = small_info();
  train::save_model_file(path, *models::make(info.model, info.options), info);
  SafeTensors contents = train::read_safetensors(path);
  for (const auto& [key, value] : changes) contents.metadata[key] = value;
  train::write_safetensors(path, contents);
  const std::string message = message_of<DataError>([&] { train::load_model_file(path); });
  CHECK(contains(message, path));
  return message;
}

std::string options_text(const std::string& classes, const std::string& channels, const std::string& image_size) {
  return R"({"classes":)" + classes + R"(,"channels":)" + channels + R"(,"image_size":)" + image_size +
         R"(,"normed_classifier":false})";
}

}  // namespace

TEST_CASE("model file: the network and all that is said of it come back", "[train][model_file]") {
  const TemporaryDirectory folder;
  const std::string path = folder.file("model.safetensors");
  manual_seed(4);
  for (const std::string& name : models::names()) {
    INFO(name);
    ModelInfo info = small_info();
    info.model = name;
    info.options.normed_classifier = name == "mlp" || name == "resnet20";
    const ModulePtr net = models::make(name, info.options);
    train::save_model_file(path, *net, info);
    const RandomState before = random_state();
    const ModelFile file = train::load_model_file(path);
    CHECK(random_state().next == before.next);  // no first values were drawn
    CHECK(file.info.model == name);
    CHECK(file.info.options.classes == 3);
    CHECK(file.info.options.channels == 2);
    CHECK(file.info.options.image_size == 14);
    CHECK(file.info.options.normed_classifier == info.options.normed_classifier);
    CHECK(file.info.class_names == info.class_names);
    CHECK(file.info.normalization.mean == info.normalization.mean);
    CHECK(file.info.normalization.std == info.normalization.std);
    CHECK(file.info.logit_scale == 30);
    CHECK_FALSE(file.net->training());
    net->eval();
    const Tensor x = random_uniform({2, 2, 14, 14}, 0, 1, DType::f32);
    CHECK((*file.net)(x).value().to_vector<float>() == (*net)(x).value().to_vector<float>());
  }
}

TEST_CASE("model file: names that are not UTF-8 do not stop a run", "[train][model_file]") {
  const TemporaryDirectory folder;
  const std::string path = folder.file("model.safetensors");
  ModelInfo info = small_info();
  info.class_names = {"\xff", "b", "c"};
  train::save_model_file(path, *models::make(info.model, info.options), info);
  CHECK(train::load_model_file(path).info.class_names == std::vector<std::string>{"\xef\xbf\xbd", "b", "c"});
}

TEST_CASE("model file: a network of one's own", "[train][model_file]") {
  const TemporaryDirectory folder;
  const std::string path = folder.file("own.safetensors");
  const auto make = [] {
    return sequential({layer<Linear>({.in_features = 4, .out_features = 8}), layer<ReLU>(),
                       layer<Linear>({.in_features = 8, .out_features = 2})});
  };
  const ModulePtr net = make(), other = make();
  train::save_model_file(path, *net, {.model = "mine", .options = {.classes = 2, .channels = 1, .image_size = 2}});
  const std::string message = message_of<DataError>([&] { train::load_model_file(path); });
  CHECK(contains(message, "resnet20"));
  CHECK(contains(message, "'mine'"));
  CHECK(train::load_model_file(path, *other).model == "mine");
  const Tensor x = Tensor::ones({1, 4});
  CHECK((*other)(x).value().to_vector<float>() == (*net)(x).value().to_vector<float>());
  CHECK(contains(message_of<DataError>([&] { train::load_model_file(path, *models::lenet5()); }), "left over: 0.bias"));
}

TEST_CASE("model file: what cannot be is not written", "[train][model_file]") {
  const TemporaryDirectory folder;
  const auto refusal_of = [&](const auto& change) {
    ModelInfo info = small_info();
    change(info);
    return message_of<ValueError>([&] { train::save_model_file(folder.file("x"), *models::lenet5(), info); });
  };
  CHECK(contains(refusal_of([](ModelInfo& info) { info.model.clear(); }), "name of a model"));
  CHECK(contains(refusal_of([](ModelInfo& info) { info.class_names.pop_back(); }), "expected 3 class names, or none; got 2"));
  CHECK(contains(refusal_of([](ModelInfo& info) { info.normalization.std.pop_back(); }), "2 channels, or none; got 2 and 1"));
  CHECK(contains(refusal_of([](ModelInfo& info) { info.normalization.std[0] = 0; }), "stds > 0; got 0"));
  CHECK(contains(refusal_of([](ModelInfo& info) { info.logit_scale = -1; }), "logit_scale"));
  CHECK(test::files_in(folder) == 0);
}

TEST_CASE("model file: a file that is none, or of another version, says so", "[train][model_file]") {
  const TemporaryDirectory folder;
  const std::string path = folder.file("plain.safetensors");
  train::save_model(path, *models::lenet5());
  CHECK(contains(message_of<DataError>([&] { train::load_model_file(path); }), "'heft' in its metadata"));
  CHECK(contains(refusal(folder, {{"heft", "2"}}), "version 1 of the metadata"));
  CHECK(contains(refusal(folder, {{"model", "lenet6"}}), "got 'lenet6'"));
  CHECK(contains(refusal(folder, {{"model", "vgg_small"}}), "missing: features.0.weight"));
  CHECK(contains(refusal(folder, {{"options", "[1]"}}), "expected the options classes"));
  CHECK(contains(refusal(folder, {{"options", "{"}}), "expected JSON in 'options'"));
  CHECK(contains(refusal(folder, {{"options", options_text("3.5", "2", "14")}}), "whole number 'classes'"));
  CHECK(contains(refusal(folder, {{"class_names", "[1, 2, 3]"}}), "list of texts in 'class_names'"));
  CHECK(contains(refusal(folder, {{"class_names", "[\"a\"]"}}), "expected 3 class names, or none; got 1"));
  CHECK(contains(refusal(folder, {{"class_names", std::string(100000, '[')}}), "class_names"));
  CHECK(contains(refusal(folder, {{"class_names", std::string(50000, '[') + std::string(50000, ']')}}), "class_names"));
  CHECK(contains(refusal(folder, {{"normalize_mean", "[null, 1]"}}), "list of numbers in 'normalize_mean'"));
  CHECK(contains(refusal(folder, {{"normalize_std", "[0, 1]"}}), "stds > 0"));
  CHECK(contains(refusal(folder, {{"normalize_std", "[1e999, 1]"}}), "normalize_std"));
  CHECK(contains(refusal(folder, {{"logit_scale", "\"1\""}}), "number in 'logit_scale'"));
}

TEST_CASE("model file: numbers that make an absurd network cost no memory", "[train][model_file]") {
  const TemporaryDirectory folder;
  CHECK(contains(refusal(folder, {{"options", options_text("1000000000000", "2", "14")}}), "classes; got 1000000000000"));
  CHECK(contains(refusal(folder, {{"options", options_text("18446744073709551615", "2", "14")}}), "classes; got"));
  CHECK(contains(refusal(folder, {{"options", options_text("3", "-1", "14")}}), "channels; got -1"));
  CHECK(contains(refusal(folder, {{"options", options_text("3", "2", "100000000")}}), "image_size of 1 to"));
  CHECK(contains(refusal(folder, {{"options", options_text("3", "2", "4")}}), "expected image_size >= 12; got 4"));
  // Within the limits, but of gigabytes.
  reset_peak_memory();
  const std::size_t before = memory_stats().peak_bytes_in_use;
  for (const char* classes : {"3", "1000000"}) {
    const std::map<std::string, std::string> changes{{"options", options_text(classes, "2", "4096")}, {"class_names", "[]"}};
    CHECK(contains(refusal(folder, changes), "of another shape: fc1.weight"));
    std::map<std::string, std::string> normed = changes;
    std::string& text = normed["options"];
    text.replace(text.find("false"), 5, "true");
    CHECK(contains(refusal(folder, normed), "of another shape: fc1.weight"));
  }
  CHECK(memory_stats().peak_bytes_in_use < before + (std::size_t{64} << 20));
}
