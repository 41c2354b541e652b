#include "cli/model_argument.h"

#include <filesystem>

#include "autograd/elementwise.h"
#include "core/check.h"
#include "layers/activation.h"
#include "layers/sequential.h"
#include "train/printable.h"

namespace heft::cli {

std::string model_path(const std::string& given) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(given)) return given;
  const auto file = [&](const char* name) { return (fs::path(given) / name).string(); };
  std::string path = file("model.safetensors"), why = "there is none";
  if (fs::exists(file("state.safetensors"))) {
    why = "it has not ended: heft train --resume " + given + " goes on";
    if (const std::string best = file("best.safetensors"); fs::exists(best))
      why += ", and " + best + " is its best epoch so far";
  }
  check<DataError>(fs::exists(path), "model", "expected a run that has ended in {}, with its model.safetensors; {}", given,
                   why);
  return path;
}

ModulePtr with_scaled_logits(const train::ModelFile& file) {
  if (file.info.logit_scale == 1) return file.net;
  const auto scale = [by = file.info.logit_scale](const Variable& logits) { return logits * by; };
  return sequential({file.net, std::make_shared<Activation>("Scale", scale)});
}

std::vector<std::string> class_names(const train::ModelInfo& info) {
  std::vector<std::string> names;
  for (const std::string& name : info.class_names) names.push_back(train::printable(name));
  for (auto c = static_cast<std::int64_t>(names.size()); c < info.options.classes; ++c) names.push_back(std::to_string(c));
  return names;
}

}  // namespace heft::cli
