// heft eval, inspect, export and predict: what they print and write, and how they refuse.
#ifdef HEFT_CLI_PATH

#include <sys/stat.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "data/npy.h"
#include "tests/catch_compat.h"
#include "tests/cli/program.h"
#include "tests/data/image_files.h"
#include "tests/train/blobs.h"
#include "tests/train/onnx_reader.h"
#include "train/model_file.h"
#include "train/run_state.h"
#include "train/safetensors.h"

using namespace heft;
using heft::test::contains;
using heft::test::heft_command;
using heft::test::Result;
using heft::test::TemporaryDirectory;
using nlohmann::json;

namespace {

// A data set and a run that has learnt it.
struct Trained {
  TemporaryDirectory folder;
  std::string run = folder.file("run");
  Trained() {
    test::write_blobs(folder, {60, 60, 60, 60}, {10, 10, 10, 10});
    const Result result = heft_command(
        folder, "train " + data() + " --model lenet5 --epochs 3 --lr 0.01 --batch-size 32 --out '" + run + "' --no-record");
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
  }
  std::string data() const { return "--data idx --data-dir '" + folder.path() + "' --threads 1"; }
  Result command(const std::string& arguments) const { return heft_command(folder, arguments); }
  std::string quoted(const std::string& name) const { return std::string("'").append(folder.file(name)).append("'"); }
};

}  // namespace

TEST_CASE("heft eval: the numbers of training, from the file alone", "[cli]") {
  const Trained trained;
  std::istringstream lines(test::read_text(trained.run + "/metrics.jsonl"));
  json last;
  for (std::string line; std::getline(lines, line);) last = json::parse(line);

  const Result result = trained.command("eval '" + trained.run + "' " + trained.data() + " --json");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json got = json::parse(result.out);
  CHECK(got["model"] == "lenet5");
  CHECK(got["samples"] == 40);
  CHECK(got["accuracy"] == last["test_accuracy"]);
  CHECK(got["balanced_accuracy"] == last["balanced_accuracy"]);
  CHECK(got["worst_class_accuracy"] == last["worst_class_accuracy"]);
  CHECK(got["loss"].get<double>() == Approx(last["test_loss"].get<double>()));
  REQUIRE(got["classes"].size() == 4);
  CHECK(got["classes"][1]["name"] == "1");
  CHECK(got["classes"][1]["samples"] == 10);
  CHECK(got["confusion"].size() == 4);

  const Result table = trained.command("eval '" + trained.run + "/model.safetensors' " + trained.data() + " --split train");
  REQUIRE(table.exit_code == 0);
  CHECK(contains(table.out, "samples                240"));
  CHECK(contains(table.out, "calibration error"));
}

TEST_CASE("heft eval: a run knows its data, and only the part that is asked for is read", "[cli]") {
  const Trained trained;
  const Result with_flags = trained.command("eval '" + trained.run + "' " + trained.data() + " --json");
  REQUIRE(with_flags.exit_code == 0);
  REQUIRE(std::filesystem::remove(trained.folder.file("train-images-idx3-ubyte")));
  const Result alone = trained.command("eval '" + trained.run + "' --json --threads 1");
  INFO(alone.err);
  CHECK(alone.exit_code == 0);
  CHECK(alone.out == with_flags.out);
  const Result train = trained.command("eval '" + trained.run + "' --split train");
  CHECK(train.exit_code == 3);
  CHECK(contains(train.err, "train-images-idx3-ubyte"));
  // So does a file of it.
  CHECK(trained.command("eval '" + trained.run + "/model.safetensors' --json --threads 1").out == with_flags.out);
  // A flag outdoes what the run says.
  CHECK(contains(trained.command("eval '" + trained.run + "' --data-dir " + trained.quoted("elsewhere")).err, "elsewhere"));
}

TEST_CASE("heft eval: data that the model does not take is named", "[cli]") {
  const Trained trained;
  const std::string path = trained.folder.file("other.safetensors");
  const auto refusal = [&](const models::MakeOptions& options) {
    train::save_model_file(path, *models::make("mlp", options), {.model = "mlp", .options = options});
    const Result result = trained.command("eval '" + path + "' " + trained.data());
    CHECK(result.exit_code == 3);
    return result.err;
  };
  CHECK(contains(refusal({.classes = 4, .image_size = 14}), "(1, 14, 14)"));
  CHECK(contains(refusal({.classes = 5, .image_size = 12}), "expected 5 classes"));
  train::save_model(path, *models::lenet5());
  CHECK(trained.command("eval '" + path + "' " + trained.data()).exit_code == 3);
  CHECK(trained.command("eval " + trained.quoted("none") + " " + trained.data()).exit_code == 3);
  CHECK(trained.command("eval '" + trained.run + "' --split x").exit_code == 2);
}

TEST_CASE("heft inspect checkpoint: whatever safetensors file", "[cli]") {
  const Trained trained;
  const Result result = trained.command("inspect checkpoint '" + trained.run + "' --json");
  REQUIRE(result.exit_code == 0);
  const json got = json::parse(result.out);
  CHECK(got["parameters"] == models::make("lenet5", {.classes = 4, .image_size = 12})->parameter_count());
  CHECK(got["metadata"]["model"] == "lenet5");
  CHECK(got["tensors"].size() == 10);
  CHECK(got["tensors"][0] == json({{"name", "conv1.bias"}, {"dtype", "f32"}, {"shape", {6}}}));
  CHECK(got["not_finite"].empty());
  // The state of a run has the same parameters, and more.
  const json state = json::parse(trained.command("inspect checkpoint '" + trained.run + "/state.safetensors' --json").out);
  CHECK(state["parameters"] == got["parameters"]);
  CHECK(state["bytes"] > got["bytes"]);

  const std::string path = trained.folder.file("foreign.safetensors");
  train::write_safetensors(path, {.tensors = {{"a\x1b[31m", Tensor::full({2, 3}, std::nan(""))}, {"n", Tensor::arange(4)}},
                                  .metadata = {{"by", "some\none"}}});
  const Result foreign = trained.command("inspect checkpoint '" + path + "'");
  CHECK(foreign.exit_code == 0);
  CHECK(contains(foreign.out, "by: some?one"));
  CHECK(contains(foreign.out, "a?[31m  f32    (2, 3)"));
  CHECK(contains(foreign.out, "2 tensors, 6 parameters, 56 bytes"));
  CHECK(contains(foreign.out, "a?[31m has NaN or infinity"));

  CHECK(trained.command("inspect checkpoint " + trained.quoted("none")).exit_code == 3);
  CHECK(trained.command("inspect").exit_code == 2);
}

TEST_CASE("heft export: onnx, npy and safetensors", "[cli]") {
  const Trained trained;
  const train::ModelFile file = train::load_model_file(trained.run + "/model.safetensors");
  REQUIRE(trained.command("export '" + trained.run + "' --to onnx").exit_code == 0);
  const test::OnnxModel model = test::read_onnx(test::read_text(trained.run + "/model.onnx"));
  CHECK(model.types().front() == "BatchNormalization");
  CHECK(model.output == "logits");
  REQUIRE(trained
              .command("export '" + trained.run + "' --to onnx --raw-input --probabilities --fold-batch-norm -o " +
                       trained.quoted("raw.onnx"))
              .exit_code == 0);
  CHECK(test::read_onnx(test::read_text(trained.folder.file("raw.onnx"))).output == "probabilities");

  REQUIRE(trained.command("export '" + trained.run + "' --to npy").exit_code == 0);
  for (const auto& [name, tensor] : file.net->state()) {
    INFO(name);
    CHECK(data::read_npy(trained.run + "/model_npy/" + name + ".npy").to_vector<float>() == tensor.to_vector<float>());
  }
  REQUIRE(trained.command("export '" + trained.run + "' --to safetensors").exit_code == 0);
  const train::SafeTensors plain = train::read_safetensors(trained.run + "/weights.safetensors");
  CHECK(plain.metadata == std::map<std::string, std::string>{{"format", "pt"}});
  CHECK(plain.tensors.size() == 10);

  CHECK(trained.command("export '" + trained.run + "' --to npy --raw-input").exit_code == 2);
  CHECK(trained.command("export '" + trained.run + "' --to tflite").exit_code == 2);
  CHECK(trained.command("export '" + trained.run + "'").exit_code == 2);
  const std::string before = test::read_text(trained.run + "/model.safetensors");
  CHECK(trained.command("export '" + trained.run + "' --to safetensors -o '" + trained.run + "/model.safetensors'").exit_code ==
        2);
  CHECK(test::read_text(trained.run + "/model.safetensors") == before);
  CHECK(trained.command("export '" + trained.run + "' --to onnx -o " + trained.quoted("none/x.onnx")).exit_code == 1);

  // What is there and was not exported stays.
  namespace fs = std::filesystem;
  REQUIRE(::mkfifo(trained.folder.file("fifo").c_str(), 0600) == 0);
  trained.folder.write("photo.jpg", "a photo");
  for (const std::string name :
       {"fifo", "photo.jpg", "run/state.safetensors", "run/best.safetensors", "run/checkpoints/epoch-0003.safetensors"}) {
    const std::string to = name.ends_with("safetensors") ? "safetensors" : "onnx";
    const auto kind = fs::status(trained.folder.file(name)).type();
    REQUIRE(kind != fs::file_type::not_found);
    const std::string held = kind == fs::file_type::regular ? test::read_text(trained.folder.file(name)) : "";
    const Result refused = trained.command("export '" + trained.run + "' --to " + to + " -o " + trained.quoted(name));
    INFO(name << refused.err);
    CHECK(refused.exit_code == 2);
    CHECK(contains(refused.err, trained.folder.file(name)));
    CHECK(fs::status(trained.folder.file(name)).type() == kind);
    if (kind == fs::file_type::regular) CHECK(test::read_text(trained.folder.file(name)) == held);
  }
  CHECK(trained.command("report '" + trained.run + "' -o " + trained.quoted("fifo")).exit_code == 2);
  // A link is followed, an older result replaced.
  fs::create_symlink(trained.folder.file("raw.onnx"), trained.folder.file("link.onnx"));
  REQUIRE(trained.command("export '" + trained.run + "' --to onnx -o " + trained.quoted("link.onnx")).exit_code == 0);
  CHECK(fs::is_symlink(trained.folder.file("link.onnx")));
  CHECK(test::read_onnx(test::read_text(trained.folder.file("raw.onnx"))).output == "logits");
}

TEST_CASE("heft predict: classes of image files, as the network saw its training images", "[cli]") {
  const TemporaryDirectory folder;
  // A network that says how bright an image is: class 1 above a grey of 0.5, by 20 logits.
  const models::MakeOptions options{.classes = 2, .channels = 1, .image_size = 4};
  const ModulePtr net = models::make("mlp", options);
  auto state = net->state();
  for (auto& [name, tensor] : state) tensor.fill_(0);
  state["fc1.weight"].slice(0, 0, 1).fill_(1.0 / 16);
  state["fc2.weight"].slice(0, 0, 1).slice(1, 0, 1).fill_(1);
  state["fc3.weight"].slice(0, 1, 2).slice(1, 0, 1).fill_(20);
  state["fc3.bias"].slice(0, 1, 2).fill_(-10);
  net->load_state(state);
  const std::string model = folder.file("model.safetensors");
  train::save_model_file(model, *net, {.model = "mlp", .options = options, .class_names = {"dark", "bright"}});
  folder.write("dark.png", test::plain_png(4, 4, {51}));
  folder.write("bright.png", test::plain_png(30, 20, {204, 204, 204}));  // another size, in colour
  folder.write("broken.png", "no image");
  const std::string images =
      " '" + folder.file("dark.png") + "' '" + folder.file("broken.png") + "' '" + folder.file("bright.png") + "' ";

  const Result result = heft_command(folder, "predict '" + model + "'" + images + "--json --batch-size 2");
  INFO(result.err);
  CHECK(result.exit_code == 3);
  CHECK(contains(result.err, "broken.png"));
  std::istringstream lines(result.out);
  std::vector<json> got;
  for (std::string line; std::getline(lines, line);) got.push_back(json::parse(line));
  REQUIRE(got.size() == 3);
  const double dark = 1 / (1 + std::exp(6.0));
  for (const json& line : got) {
    if (line["image"] == folder.file("broken.png")) {
      CHECK(line.contains("error"));
      continue;
    }
    const bool is_bright = line["image"] == folder.file("bright.png");
    REQUIRE(line["predictions"].size() == 2);
    CHECK(line["predictions"][0]["class"] == (is_bright ? "bright" : "dark"));
    CHECK(line["predictions"][0]["label"] == (is_bright ? 1 : 0));
    CHECK(line["predictions"][0]["probability"].get<double>() == Approx(1 - dark));
    CHECK(line["predictions"][1]["probability"].get<double>() == Approx(dark).epsilon(1e-3));
  }

  const Result table = heft_command(folder, "predict '" + model + "' '" + folder.file("dark.png") + "' --top-k 1");
  CHECK(table.exit_code == 0);
  CHECK(table.out == folder.file("dark.png") + "\n   99.8 %  dark\n");
  CHECK(heft_command(folder, "predict '" + model + "'").exit_code == 2);
  CHECK(heft_command(folder, "predict '" + model + "' x.png --top-k 0").exit_code == 2);
  train::save_model_file(model, *models::make("mlp", {.channels = 2, .image_size = 4}),
                         {.model = "mlp", .options = {.channels = 2, .image_size = 4}});
  CHECK(contains(heft_command(folder, "predict '" + model + "' x.png").err, "1 or 3 channels"));
}

TEST_CASE("heft train: --init, --init-head and --freeze", "[cli]") {
  const Trained trained;
  const std::string train = "train " + trained.data() + " --epochs 1 --batch-size 32 --no-record --overwrite --out " +
                            trained.quoted("tuned") + " --init '" + trained.run + "/model.safetensors' ";
  REQUIRE(trained.command(train + "--model lenet5 --freeze conv1,conv2 --init-head new").exit_code == 0);
  const auto before = train::read_safetensors(trained.run + "/model.safetensors").tensors;
  const auto after = train::read_safetensors(trained.folder.file("tuned/model.safetensors")).tensors;
  CHECK(after.at("conv2.weight").to_vector<float>() == before.at("conv2.weight").to_vector<float>());
  CHECK(after.at("fc1.weight").to_vector<float>() != before.at("fc1.weight").to_vector<float>());
  CHECK(json::parse(test::read_text(trained.folder.file("tuned/config.json")))["freeze"] == "conv1,conv2");
  const Result other = trained.command(train + "--model mlp");
  CHECK(other.exit_code == 3);
  CHECK(contains(other.err, "conv1.weight"));
  CHECK(trained.command(train + "--model lenet5 --freeze conv9").exit_code == 2);
  // As the weights are used to see them.
  REQUIRE(trained.command(train + "--model lenet5 --normalize 0.5:0.25").exit_code == 0);
  const train::ModelFile tuned = train::load_model_file(trained.folder.file("tuned/model.safetensors"));
  CHECK(tuned.info.normalization.mean == std::vector<double>{0.5});
  CHECK(tuned.info.normalization.std == std::vector<double>{0.25});
  const json last = json::parse(test::read_text(trained.folder.file("tuned/metrics.jsonl")));
  const json evaluated = json::parse(trained.command("eval " + trained.quoted("tuned") + " --threads 1 --json").out);
  CHECK(evaluated["accuracy"] == last["test_accuracy"]);
  REQUIRE(trained.command(train + "--model lenet5 --normalize none").exit_code == 0);
  CHECK(train::load_model_file(trained.folder.file("tuned/model.safetensors")).info.normalization.empty());
}

#endif
