#include "cli/manifest.h"

#include <filesystem>

#include "cli/json_file.h"
#include "cli/machine.h"
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
  const Json now{{"heft", version()}, {"threads", num_threads()}, {"command", command_line()}, {"date", train::now_utc()}};
  Json manifest = resumed ? before(path) : Json();
  if (!manifest.is_null()) {
    manifest["resumed"].push_back(now);
  } else {
    manifest = {{"heft", version()},           {"compiler", compiler()},
                {"onednn", onednn_version()},  {"system", operating_system()},
                {"processor", processor()},    {"features", processor_features()},
                {"threads", num_threads()},    {"seed", setup.recipe.seed},
                {"data", data_of(setup.data)}, {"command", now["command"]},
                {"date", now["date"]},         {"resumed", Json::array()}};
  }
  train::write_atomically(path, manifest.dump(2, ' ', false, Json::error_handler_t::replace) + '\n');
}

}  // namespace heft::cli
