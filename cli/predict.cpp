// heft predict: what a trained model makes of image files.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/threads_flag.h"
#include "core/check.h"
#include "core/ops.h"
#include "data/image.h"
#include "train/predict.h"
#include "train/printable.h"

namespace heft::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Flags {
  std::string model;
  std::vector<std::string> images;
  Device device = Device::cpu();
  std::int64_t top_k = 5, batch_size = 32;
  bool json = false;
};

constexpr const char* kExamples = R"(Examples:
  heft predict runs/latest shirt.png
  heft predict model.safetensors photos/*.jpg --top-k 3 --json | jq .

PNG and JPEG. Of each image the square in its middle is resized to the size that the model was trained on, and normalised as
in training. An image that cannot be read is reported and left out; the exit code is then 3.)";

class Output {
 public:
  Output(const train::ModelInfo& info, const Flags& flags) : names_(class_names(info)), flags_(flags) {}

  void predicted(const std::string& image, const std::vector<train::ClassProbability>& best) {
    Json predictions = Json::array();
    std::string text;
    for (const train::ClassProbability& one : best) {
      const std::string& name = names_[static_cast<std::size_t>(one.label)];
      predictions.push_back({{"class", name}, {"label", one.label}, {"probability", one.probability}});
      text += fmt::format("  {:>5.1f} %  {}\n", 100 * one.probability, name);
    }
    if (flags_.json) print_json_line({{"image", image}, {"predictions", predictions}});
    else results() << train::printable(image) << '\n' << text;
  }
  void failed(const std::string& image, const std::string& why) {
    std::cerr << "heft: " << why << '\n';
    if (flags_.json) print_json_line({{"image", image}, {"error", why}});
  }

 private:
  std::vector<std::string> names_;
  const Flags& flags_;
};

int run(const Flags& flags) {
  const train::ModelFile file = train::load_model_file(model_path(flags.model));
  const std::int64_t channels = file.info.options.channels;
  check<DataError>(channels == 1 || channels == 3, "predict", "expected a model of 1 or 3 channels for image files; {} has {}",
                   flags.model, channels);
  file.net->to(flags.device);
  Output output(file.info, flags);
  int exit_code = kSuccess;
  const auto batch = static_cast<std::size_t>(flags.batch_size);
  for (std::size_t begin = 0; begin < flags.images.size(); begin += batch) {
    std::vector<std::string> names;
    std::vector<Tensor> images;
    for (std::size_t i = begin; i < std::min(begin + batch, flags.images.size()); ++i) try {
        // Resized at once: what is kept of a batch is small.
        images.push_back(train::model_input({data::read_image(flags.images[i], {.channels = channels})}, file.info));
        names.push_back(flags.images[i]);
      } catch (const DataError& error) {
        output.failed(flags.images[i], error.what());
        exit_code = kBadData;
      }
    if (images.empty()) continue;
    const Tensor probabilities = train::predict(*file.net, file.info, heft::concat(images, 0));
    for (std::size_t i = 0; i < names.size(); ++i)
      output.predicted(names[i], train::top_k(probabilities, static_cast<std::int64_t>(i), flags.top_k));
  }
  return exit_code;
}

}  // namespace

void add_predict(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("predict", "The most probable classes of image files");
  const auto flags = std::make_shared<Flags>();
  command->add_option("model", flags->model, "A model file of heft train, or the folder of a run")->required();
  command->add_option("images", flags->images, "PNG or JPEG files")->required();
  command->add_option("--top-k", flags->top_k, "Classes to show of each image")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--batch-size", flags->batch_size, "Images at a time")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  add_json_flag(*command, flags->json, "A JSON object a line on stdout: image, and predictions or error");
  command
      ->add_option_function<std::string>(
          "--device", [flags](const std::string& name) { flags->device = name == "cuda" ? Device::cuda() : Device::cpu(); },
          "cpu or cuda [cpu]")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  add_threads_flag(*command);
  command->footer(kExamples);
  command->callback([flags, &exit_code] { exit_code = run(*flags); });
}

}  // namespace heft::cli
