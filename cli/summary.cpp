// heft summary: what a model consists of.
#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "layers/models.h"
#include "layers/summary.h"

namespace heft::cli {

void add_summary(CLI::App& app, int& exit_code) {
  struct Flags {
    std::string model;
    models::MakeOptions make;
    std::int64_t batch = 1;
  };
  CLI::App* command = app.add_subcommand("summary", "Layers, shapes, parameters and memory of a model");
  const auto flags = std::make_shared<Flags>();
  command->add_option("model", flags->model, "Its name, as in heft train --model")->required();
  command->add_option("--classes", flags->make.classes)->capture_default_str();
  command->add_option("--channels", flags->make.channels)->capture_default_str();
  command->add_option("--image-size", flags->make.image_size)->capture_default_str();
  command->add_option("--batch-size", flags->batch)->check(CLI::Range(1, 65536))->capture_default_str();
  command->callback([flags, &exit_code] {
    const models::MakeOptions& make = flags->make;
    const ModulePtr net = models::make(flags->model, make);
    std::cout << summarize(*net, {flags->batch, make.channels, make.image_size, make.image_size}).str();
    exit_code = kSuccess;
  });
}

}  // namespace heft::cli
