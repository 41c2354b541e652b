// heft inspect checkpoint: the tensors and the metadata of a safetensors file, whoever wrote it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/inspect.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "core/ops.h"
#include "train/printable.h"
#include "train/safetensors.h"

namespace heft::cli {
namespace {

using Json = nlohmann::ordered_json;
using train::printable;

struct Flags {
  std::string file;
  bool json = false;
};

// By its name: not what a batch norm keeps, nor a counter; of a run's state what is under "model." alone.
bool is_parameter(const std::string& name, const Tensor& tensor, bool of_run) {
  if (of_run && !name.starts_with("model.")) return false;
  return is_floating(tensor.dtype()) && !name.ends_with(".running_mean") && !name.ends_with(".running_var");
}

bool finite(const Tensor& tensor) { return !is_floating(tensor.dtype()) || all_finite(tensor); }

struct Totals {
  std::int64_t parameters = 0, bytes = 0;
  std::vector<std::string> not_finite = {};
};
Totals totals_of(const train::SafeTensors& contents) {
  Totals totals;
  const bool of_run = contents.tensors.count("run.epochs") > 0;
  for (const auto& [name, tensor] : contents.tensors) {
    if (is_parameter(name, tensor, of_run)) totals.parameters += tensor.numel();
    totals.bytes += tensor.numel() * static_cast<std::int64_t>(size_of(tensor.dtype()));
    if (!finite(tensor)) totals.not_finite.push_back(name);
  }
  return totals;
}

Json as_json(const train::SafeTensors& contents, const Totals& totals) {
  Json tensors = Json::array();
  for (const auto& [name, tensor] : contents.tensors)
    tensors.push_back({{"name", name},
                       {"dtype", heft::name(tensor.dtype())},
                       {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())}});
  return {{"parameters", totals.parameters},
          {"bytes", totals.bytes},
          {"not_finite", totals.not_finite},
          {"metadata", contents.metadata},
          {"tensors", tensors}};
}

void print(const train::SafeTensors& contents, const Totals& totals) {
  for (const auto& [key, value] : contents.metadata)
    results() << fmt::format("{}: {}\n", printable(key, 80), printable(value, 200));
  if (!contents.metadata.empty()) results() << '\n';
  std::size_t width = 6;
  for (const auto& [name, tensor] : contents.tensors) width = std::max(width, std::min<std::size_t>(name.size(), 80));
  results() << fmt::format("{:<{}}  dtype  shape\n", "tensor", width);
  for (const auto& [name, tensor] : contents.tensors)
    results() << fmt::format("{:<{}}  {:<5}  {}\n", printable(name, 80), width, heft::name(tensor.dtype()),
                             tensor.shape().str());
  results() << fmt::format("\n{} tensors, {} parameters, {} bytes\n", contents.tensors.size(), totals.parameters, totals.bytes);
  for (const std::string& name : totals.not_finite)
    results() << fmt::format("not finite: {} has NaN or infinity\n", printable(name, 80));
}

int run(const Flags& flags) {
  const train::SafeTensors contents = train::read_safetensors(model_path(flags.file));
  const Totals totals = totals_of(contents);
  if (flags.json) print_json(as_json(contents, totals));
  else print(contents, totals);
  return kSuccess;
}

}  // namespace

void add_inspect_checkpoint(CLI::App& inspect, int& exit_code) {
  CLI::App* command = inspect.add_subcommand("checkpoint", "Tensors, shapes, types and metadata of a safetensors file");
  const auto flags = std::make_shared<Flags>();
  command->add_option("file", flags->file, "A safetensors file, or the folder of a run: its model")->required();
  add_json_flag(*command, flags->json);
  command->footer(
      "Examples:\n  heft inspect checkpoint runs/latest\n  heft inspect checkpoint weights.safetensors --json | jq .tensors");
  command->callback([flags, &exit_code] { exit_code = run(*flags); });
}

}  // namespace heft::cli
