// heft inspect run: what a run was told, where it ran, how far it is and how well it did.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/config_file.h"
#include "cli/inspect.h"
#include "cli/json_file.h"
#include "cli/output.h"
#include "cli/run.h"
#include "core/check.h"
#include "train/printable.h"

namespace heft::cli {
namespace {

namespace fs = std::filesystem;
using train::printable;

const std::vector<Field> kManifest = {{"heft", Kind::text},     {"compiler", Kind::text},  {"onednn", Kind::text},
                                      {"system", Kind::text},   {"processor", Kind::text}, {"features", Kind::texts},
                                      {"threads", Kind::count}, {"seed", Kind::count},     {"data", Kind::object},
                                      {"command", Kind::text},  {"date", Kind::text},      {"resumed", Kind::objects}};
const std::vector<Field> kResumed = {{"heft", Kind::text},
                                     {"threads", Kind::count},
                                     {"command", Kind::text},
                                     {"date", Kind::text},
                                     {"data", Kind::object, false}};
const std::vector<Field> kPart = {{"images", Kind::count}, {"classes", Kind::count}, {"fingerprint", Kind::text}};
const std::vector<Field> kEpoch = {{"epoch", Kind::count},
                                   {"train_loss", Kind::number},
                                   {"test_accuracy", Kind::number, false},
                                   {"balanced_accuracy", Kind::number, false},
                                   {"worst_class_accuracy", Kind::number, false},
                                   {"validation_accuracy", Kind::number, false},
                                   {"validation_balanced_accuracy", Kind::number, false}};

// Of each part of the data what is shown.
Json picked_parts(const Json& data, const std::string& path) {
  Json parts = Json::object();
  for (const auto& part : data.items()) {
    check<DataError>(part.value().is_object(), "inspect", "expected an object as {} of the data in {}; got {}", part.key(),
                     path, part.value().dump());
    parts[part.key()] = pick(part.value(), kPart, {path});
  }
  return parts;
}

// Null: there is none.
Json read_manifest(const std::string& path) {
  if (!fs::exists(path)) return nullptr;
  Json manifest = read_object(path, kManifest);
  manifest["data"] = picked_parts(manifest["data"], path);
  for (Json& resumed : manifest["resumed"]) {
    resumed = pick(resumed, kResumed, {path});
    if (!resumed["data"].is_null()) resumed["data"] = picked_parts(resumed["data"], path);
  }
  return manifest;
}

struct Epochs {
  Json best = nullptr, last = nullptr;  // null: none is finished
};
// The best is that of best.safetensors (train/best_epoch.h).
Epochs read_epochs(const std::string& path) {
  Epochs epochs;
  if (!fs::exists(path)) return epochs;
  double most = -1;
  for (Line& line : read_lines(path, kEpoch, std::numeric_limits<std::size_t>::max())) {
    const Json& held_out = line.json["validation_balanced_accuracy"];
    const Json& by = held_out.is_null() ? line.json["balanced_accuracy"] : held_out;
    if (!by.is_null() && by.get<double>() > most) {
      most = by.get<double>();
      epochs.best = line.json;
    }
    epochs.last = std::move(line.json);
  }
  return epochs;
}

Json checkpoints_in(const std::string& folder) {
  std::vector<std::string> names{"state.safetensors", "best.safetensors", "model.safetensors"};
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(fs::path(folder) / "checkpoints", none))
    if (entry.path().extension() == ".safetensors") names.push_back("checkpoints/" + entry.path().filename().string());
  std::sort(names.begin() + 3, names.end());
  Json files = Json::array();
  for (const std::string& name : names)
    if (const fs::path path = fs::path(folder) / name; fs::is_regular_file(path))
      files.push_back({{"file", name}, {"bytes", fs::file_size(path)}});
  return files;
}

Json json_of(const train::FieldValue& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

std::string parts_text(const Json& data) {
  std::string text;
  for (const auto& part : data.items())
    text += fmt::format("{}{} {} images ({})", text.empty() ? "" : ", ", printable(part.key()), part.value()["images"].dump(),
                        printable(part.value()["fingerprint"].get<std::string>()));
  return text;
}

void print_manifest(const Json& manifest) {
  const auto text = [](const Json& from, const char* name) { return printable(from[name].get<std::string>()); };
  results() << fmt::format("\n{}: heft {}, {}, oneDNN {}, {} thread(s), seed {}\n  on {} ({})\n", text(manifest, "date"),
                           text(manifest, "heft"), text(manifest, "compiler"), text(manifest, "onednn"),
                           manifest["threads"].dump(), manifest["seed"].dump(), text(manifest, "processor"),
                           text(manifest, "system"));
  results() << "  data " << parts_text(manifest["data"]) << "\n  " << text(manifest, "command") << '\n';
  for (const Json& on : manifest["resumed"]) {
    results() << fmt::format("{}: went on, heft {}, {} thread(s)\n", text(on, "date"), text(on, "heft"), on["threads"].dump());
    if (!on["data"].is_null()) results() << "  data, which were others: " << parts_text(on["data"]) << '\n';
    results() << "  " << text(on, "command") << '\n';
  }
}

void print_epoch(const char* name, const Json& epoch) {
  const auto cell = [&epoch](const char* field) { return epoch[field].is_null() ? "-" : percent(epoch[field].get<double>()); };
  results() << fmt::format("{:<8}{:>5}{:>12.4f}{:>10}{:>10}{:>13}{:>21}\n", name, epoch["epoch"].get<std::int64_t>(),
                           epoch["train_loss"].get<double>(), cell("test_accuracy"), cell("balanced_accuracy"),
                           cell("worst_class_accuracy"), cell("validation_balanced_accuracy"));
}

int run(const std::string& folder, bool json) {
  const auto file = [&folder](const char* name) { return (fs::path(folder) / name).string(); };
  check<DataError>(fs::exists(file("config.toml")), "inspect",
                   "expected the folder of a run of heft train, with config.toml; {} has none", folder);
  const train::Recipe recipe = read_config_of_run(file("config.toml"));
  const train::RecipeFields changed = train::changed_fields(recipe);
  const Json manifest = read_manifest(file("manifest.json"));
  const Epochs epochs = read_epochs(file("metrics.jsonl"));
  const Json checkpoints = checkpoints_in(folder);
  if (json) {
    Json settings = Json::object();
    for (const train::RecipeField& field : changed) settings[field.name] = json_of(field.value);
    print_json({{"folder", folder},
                {"epochs", recipe.epochs},
                {"changed_settings", settings},
                {"manifest", manifest},
                {"best", epochs.best},
                {"last", epochs.last},
                {"checkpoints", checkpoints}});
    return kSuccess;
  }
  results() << fmt::format("{}: {} of {} epochs\n\n", printable(folder),
                           epochs.last.is_null() ? "0" : epochs.last["epoch"].dump(), recipe.epochs);
  results() << (changed.empty() ? "every setting has its default\n" : "settings that differ from the defaults\n");
  for (const train::RecipeField& field : changed) results() << "  " << train::to_toml({field});
  if (!manifest.is_null()) print_manifest(manifest);
  results() << fmt::format("\n{:<8}{:>5}{:>12}{:>10}{:>10}{:>13}{:>21}\n", "in %", "epoch", "train loss", "accuracy",
                           "balanced", "worst class", "validation, balanced");
  for (const auto& [name, epoch] : {std::pair("best", epochs.best), std::pair("last", epochs.last)})
    if (!epoch.is_null()) print_epoch(name, epoch);
  results() << '\n';
  for (const Json& one : checkpoints)
    results() << fmt::format("{:<36}{:>12} bytes\n", printable(one["file"].get<std::string>()), one["bytes"].dump());
  return kSuccess;
}

}  // namespace

void add_inspect_run(CLI::App& inspect, int& exit_code) {
  CLI::App* command = inspect.add_subcommand("run", "Settings, origin, best and last numbers, and checkpoints of a run");
  struct Flags {
    std::string folder;
    bool json = false;
  };
  const auto flags = std::make_shared<Flags>();
  command->add_option("folder", flags->folder, "The folder of a run of heft train")->required();
  add_json_flag(*command, flags->json);
  command->footer(
      "Examples:\n  heft inspect run runs/latest\n  heft inspect run runs/latest --json | jq .best.balanced_accuracy");
  command->callback([flags, &exit_code] { exit_code = run(flags->folder, flags->json); });
}

}  // namespace heft::cli
