#include "cli/manifest.h"

#include <fmt/format.h>

#include <filesystem>
#include <ostream>

#include "cli/json_file.h"
#include "cli/machine.h"
#include "cli/output.h"
#include "core/build_info.h"
#include "core/parallel.h"
#include "core/version.h"
#include "train/atomic_file.h"
#include "train/date.h"
#include "train/fingerprint.h"

namespace heft::cli {
namespace {

Json part_of(const data::DatasetPtr& dataset) {
  return {{"images", dataset->size()}, {"classes", dataset->classes()}, {"fingerprint", train::fingerprint(*dataset)}};
}

Json data_of(const train::DataSets& data) {
  Json parts = Json::object();
  const auto add = [&parts](const char* name, const data::DatasetPtr& dataset) {
    if (dataset) parts[name] = part_of(dataset);
  };
  add("train", data.train);
  add("validation", data.validation);
  add("meta", data.meta);
  add("test", data.test);
  return parts;
}

// What the run has had last: where it went on with other data than before, those.
Json known_data(const Json& manifest) {
  Json data = manifest.value("data", Json());
  for (const Json& on : manifest["resumed"])
    if (on.contains("data")) data = on["data"];
  return data;
}

std::string changed_parts(const Json& before, const Json& now) {
  std::string names;
  for (const auto& [name, part] : now.items())
    if (!before.is_object() || before.value(name, Json()) != part) names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "fewer parts" : names;
}

// A run of a version without manifests, or one whose manifest is damaged, goes on with a new one.
Json before(const std::string& path) {
  try {
    Json manifest = parse_object(read_file(path), {path});
    pick(manifest, {{"resumed", Kind::objects}}, {path});
    return manifest;
  } catch (const DataError&) {
    return {};
  }
}

}  // namespace

void write_manifest(const std::string& folder, const train::Setup& setup, bool resumed) {
  const std::string path = (std::filesystem::path(folder) / "manifest.json").string();
  Json now{{"heft", version()}, {"threads", num_threads()}, {"command", command_line()}, {"date", train::now_utc()}};
  Json manifest = resumed ? before(path) : Json(), data = data_of(setup.data);
  if (!manifest.is_null()) {
    if (const Json known = known_data(manifest); known != data) {
      notes() << fmt::format("heft: the data are others than the run in {} has had ({}): it goes on with those of now\n",
                             folder, changed_parts(known, data));
      now["data"] = std::move(data);
    }
    manifest["resumed"].push_back(std::move(now));
  } else {
    manifest = {{"heft", version()},          {"compiler", compiler()},
                {"onednn", onednn_version()}, {"system", operating_system()},
                {"processor", processor()},   {"features", processor_features()},
                {"threads", num_threads()},   {"seed", setup.recipe.seed},
                {"data", std::move(data)},    {"command", now["command"]},
                {"date", now["date"]},        {"resumed", Json::array()}};
  }
  train::write_atomically(path, manifest.dump(2, ' ', false, Json::error_handler_t::replace) + '\n');
}

}  // namespace heft::cli
