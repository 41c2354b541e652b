// heft export: a trained model for other programs.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "core/check.h"
#include "data/npy.h"
#include "train/onnx.h"
#include "train/run_state.h"

namespace heft::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string model, to, out;
  bool fold = false, raw_input = false, probabilities = false;
};

constexpr const char* kExamples = R"(Examples:
  heft export runs/latest --to onnx
      runs/latest/model.onnx: takes images in [0, 1], whose normalisation is part of it, and gives logits
  heft export model.safetensors --to onnx --fold-batch-norm --probabilities -o digits.onnx
  heft export model.safetensors --to npy -o weights/
      a file weights/NAME.npy for each tensor: numpy.load("weights/fc.weight.npy")
  heft export model.safetensors --to safetensors -o weights.safetensors
      the tensors alone, under PyTorch's names: net.load_state_dict(safetensors.torch.load_file("weights.safetensors")))";

std::string default_out(const std::string& path, const std::string& to) {
  fs::path out = path;
  if (to == "onnx") return out.replace_extension(".onnx").string();
  if (to == "npy") return out.replace_extension("").string() + "_npy";
  return out.replace_filename("weights.safetensors").string();
}

// As heft train calls them.
bool is_of_a_run(const fs::path& path) {
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return false;
  const fs::path whole = fs::canonical(path), folder = whole.parent_path(), name = whole.filename();
  return folder.filename() == "checkpoints" || name == "state.safetensors" || name == "best.safetensors" ||
         (name == "model.safetensors" && fs::exists(folder / "metrics.jsonl"));
}

int run(const Flags& flags) {
  constexpr const char* kOp = "export";
  check(flags.to == "onnx" || !(flags.fold || flags.raw_input || flags.probabilities), kOp,
        "expected --fold-batch-norm, --raw-input and --probabilities with --to onnx only; got them with {}", flags.to);
  const std::string path = model_path(flags.model);
  const train::ModelFile file = train::load_model_file(path);
  const std::string named = flags.out.empty() ? default_out(path, flags.to) : flags.out;
  std::error_code ignored;
  check(!fs::equivalent(path, named, ignored), kOp, "expected another file than the model's own for the result; got {}", named);
  check(!is_of_a_run(named), kOp, "expected a result that does not replace a file of a run (--out); got {}", named);
  const std::string out = flags.to == "npy" ? named : output_file(kOp, named, "." + flags.to);
  if (flags.to == "onnx") {
    train::export_onnx(out, *file.net, file.info,
                       {.fold_batch_norm = flags.fold, .normalize = !flags.raw_input, .probabilities = flags.probabilities});
  } else if (flags.to == "npy") {
    fs::create_directories(out, ignored);
    // Names are the network's own, whatever the file said.
    for (const auto& [name, tensor] : file.net->state()) data::write_npy(fs::path(out) / (name + ".npy"), tensor);
  } else {
    train::save_model(out, *file.net, {{"format", "pt"}});
  }
  results() << "written to " << out << '\n';
  return kSuccess;
}

}  // namespace

void add_export(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("export", "Write a trained model for other programs");
  const auto flags = std::make_shared<Flags>();
  command->add_option("model", flags->model, "A model file of heft train, or the folder of a run")->required();
  command->add_option("--to", flags->to, "onnx (opset 17), npy (a file for each tensor) or safetensors")
      ->required()
      ->check(CLI::IsMember({"onnx", "npy", "safetensors"}));
  command->add_option("-o,--out", flags->out, "File, or folder for npy [beside the model]");
  command->add_flag("--fold-batch-norm", flags->fold, "onnx: batch norms become part of the convolutions before them");
  command->add_flag("--raw-input", flags->raw_input, "onnx: takes normalised images; else normalisation is part of the graph");
  command->add_flag("--probabilities", flags->probabilities, "onnx: gives probabilities instead of logits");
  command->footer(kExamples);
  command->callback([flags, &exit_code] { exit_code = run(*flags); });
}

}  // namespace heft::cli
