// heft summary: what a model consists of.
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/output.h"
#include "layers/models.h"
#include "layers/summary.h"

namespace heft::cli {
namespace {

nlohmann::ordered_json as_json(const Summary& summary) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const SummaryRow& row : summary.rows)
    if (row.leaf)
      layers.push_back({{"name", row.name},
                        {"layer", row.layer},
                        {"output", std::vector<std::int64_t>(row.output.begin(), row.output.end())},
                        {"parameters", row.parameters},
                        {"output_bytes", row.output_bytes}});
  return {{"parameters", summary.parameters},
          {"trainable", summary.trainable},
          {"parameter_bytes", summary.parameter_bytes},
          {"activation_bytes", summary.activation_bytes},
          {"layers", layers}};
}

}  // namespace

void add_summary(CLI::App& app, int& exit_code) {
  struct Flags {
    std::string model;
    models::MakeOptions make;
    std::int64_t batch = 1;
    bool json = false;
  };
  CLI::App* command = app.add_subcommand("summary", "Layers, shapes, parameters and memory of a model");
  const auto flags = std::make_shared<Flags>();
  command->add_option("model", flags->model, "Its name, as in heft train --model")->required();
  command->add_option("--classes", flags->make.classes)->capture_default_str();
  command->add_option("--channels", flags->make.channels)->capture_default_str();
  command->add_option("--image-size", flags->make.image_size)->capture_default_str();
  command->add_option("--batch-size", flags->batch)->check(CLI::Range(1, 65536))->capture_default_str();
  add_json_flag(*command, flags->json);
  command->footer("Examples:\n  heft summary resnet20 --channels 3 --image-size 32");
  command->callback([flags, &exit_code] {
    const models::MakeOptions& make = flags->make;
    const ModulePtr net = models::make(flags->model, make);
    const Summary summary = summarize(*net, {flags->batch, make.channels, make.image_size, make.image_size});
    if (flags->json) print_json(as_json(summary));
    else results() << summary.str();
    exit_code = kSuccess;
  });
}

}  // namespace heft::cli
