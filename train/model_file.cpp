#include "train/model_file.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/check.h"
#include "layers/init.h"
#include "train/printable.h"
#include "train/safetensors.h"

namespace heft::train {
namespace {

using Json = nlohmann::json;

constexpr const char* kLoad = "load_model_file";
constexpr const char* kSave = "save_model_file";
constexpr const char* kVersion = "1";
// Products of them fit 63 bits in every model.
constexpr std::int64_t kMaxClasses = std::int64_t{1} << 20, kMaxChannels = 1 << 12, kMaxImageSize = 1 << 12;

// What is wrong with it, or nothing.
std::string problem_of(const ModelInfo& info) {
  const models::MakeOptions& o = info.options;
  const auto outside = [](std::int64_t value, std::int64_t most) { return value < 1 || value > most; };
  if (info.model.empty()) return "expected the name of a model; it is empty";
  if (outside(o.classes, kMaxClasses)) return fmt::format("expected 1 to {} classes; got {}", kMaxClasses, o.classes);
  if (outside(o.channels, kMaxChannels)) return fmt::format("expected 1 to {} channels; got {}", kMaxChannels, o.channels);
  if (outside(o.image_size, kMaxImageSize))
    return fmt::format("expected an image_size of 1 to {}; got {}", kMaxImageSize, o.image_size);
  if (!info.class_names.empty() && static_cast<std::int64_t>(info.class_names.size()) != o.classes)
    return fmt::format("expected {} class names, or none; got {}", o.classes, info.class_names.size());
  const data::Normalization& n = info.normalization;
  const auto channels = static_cast<std::size_t>(o.channels);
  if (!n.empty() && (n.mean.size() != channels || n.std.size() != channels))
    return fmt::format("expected a mean and a std for each of {} channels, or none; got {} and {}", channels, n.mean.size(),
                       n.std.size());
  for (const double mean : n.mean)
    if (!std::isfinite(mean)) return fmt::format("expected finite means; got {}", mean);
  for (const double std : n.std)
    if (!(std > 0) || !std::isfinite(std)) return fmt::format("expected finite stds > 0; got {}", std);
  if (!(info.logit_scale > 0) || !std::isfinite(info.logit_scale))
    return fmt::format("expected a finite logit_scale > 0; got {}", info.logit_scale);
  return {};
}

// The metadata of one file, each entry of the type that it must have.
class Reader {
 public:
  Reader(const std::string& path, const std::map<std::string, std::string>& metadata) : path_(path), metadata_(metadata) {}

  const std::string& text(const char* key) const {
    const auto found = metadata_.find(key);
    check<DataError>(found != metadata_.end(), kLoad,
                     "expected a model file of heft, with '{}' in its metadata; {} has none (weights alone are loaded into a "
                     "network that you name, as heft train --init does)",
                     key, path_);
    return found->second;
  }
  Json json(const char* key) const {
    // Deeper than a list in an object is nothing that is written; such values are dropped, and missed below.
    const Json value = Json::parse(
        text(key), [](int depth, Json::parse_event_t, Json&) { return depth <= 2; }, false);
    check<DataError>(!value.is_discarded(), kLoad, "expected JSON in '{}' of {}; it is not", key, path_);
    return value;
  }
  std::int64_t integer(const Json& options, const char* key) const {
    check<DataError>(options.contains(key) && options[key].is_number_integer(), kLoad,
                     "expected a whole number '{}' in the options of {}; there is none", key, path_);
    // An unsigned one beyond 63 bits would come out negative, and is out of range either way.
    return options[key].get<std::int64_t>();
  }
  template <class T>
  std::vector<T> list(const char* key, bool (Json::*is_right)() const noexcept, const char* what) const {
    const Json values = json(key);
    check<DataError>(
        values.is_array() && std::all_of(values.begin(), values.end(), [&](const Json& value) { return (value.*is_right)(); }),
        kLoad, "expected a list of {} in '{}' of {}; it is not", what, key, path_);
    return values.get<std::vector<T>>();
  }

 private:
  const std::string& path_;
  const std::map<std::string, std::string>& metadata_;
};

ModelInfo read_info(const std::string& path, const std::map<std::string, std::string>& metadata) {
  const Reader reader(path, metadata);
  const std::string& version = reader.text("heft");
  check<DataError>(version == kVersion, kLoad, "expected version {} of the metadata in {}; got '{}', perhaps of a newer heft",
                   kVersion, path, printable(version, 20));
  ModelInfo info{.model = reader.text("model")};
  const Json options = reader.json("options");
  check<DataError>(options.is_object() && options.size() == 4 && options.contains("normed_classifier") &&
                       options["normed_classifier"].is_boolean(),
                   kLoad, "expected the options classes, channels, image_size and normed_classifier in {}; got {}", path,
                   options.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 200));
  info.options = {.classes = reader.integer(options, "classes"),
                  .channels = reader.integer(options, "channels"),
                  .image_size = reader.integer(options, "image_size"),
                  .normed_classifier = options["normed_classifier"].get<bool>()};
  info.class_names = reader.list<std::string>("class_names", &Json::is_string, "texts");
  info.normalization = {.mean = reader.list<double>("normalize_mean", &Json::is_number, "numbers"),
                        .std = reader.list<double>("normalize_std", &Json::is_number, "numbers")};
  const Json scale = reader.json("logit_scale");
  check<DataError>(scale.is_number(), kLoad, "expected a number in 'logit_scale' of {}; it is not", path);
  info.logit_scale = scale.get<double>();
  const std::string problem = problem_of(info);
  check<DataError>(problem.empty(), kLoad, "{}: {}", path, problem);
  return info;
}

void take_values(const std::string& path, const SafeTensors& contents, Module& net) {
  try {
    net.load_state(contents.tensors);
  } catch (const Error& error) {
    fail<DataError>(kLoad, "expected the tensors of the network that {} describes; {}", path, error.what());
  }
}

}  // namespace

void save_model_file(const std::string& path, const Module& net, const ModelInfo& info,
                     const std::map<std::string, std::string>& more) {
  const std::string problem = problem_of(info);
  check(problem.empty(), kSave, "{}", problem);
  const auto text = [](const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); };
  std::map<std::string, std::string> metadata{{"format", "pt"},
                                              {"heft", kVersion},
                                              {"model", info.model},
                                              {"options", text({{"classes", info.options.classes},
                                                                {"channels", info.options.channels},
                                                                {"image_size", info.options.image_size},
                                                                {"normed_classifier", info.options.normed_classifier}})},
                                              {"class_names", text(Json(info.class_names))},
                                              {"normalize_mean", text(Json(info.normalization.mean))},
                                              {"normalize_std", text(Json(info.normalization.std))},
                                              {"logit_scale", text(Json(info.logit_scale))}};
  metadata.insert(more.begin(), more.end());
  write_safetensors(path, {.tensors = net.state(), .metadata = std::move(metadata), .checksummed = true});
}

ModelFile load_model_file(const std::string& path) {
  const SafeTensors contents = read_safetensors(path);
  ModelFile file{.net = nullptr, .info = read_info(path, contents.metadata)};
  const std::vector<std::string> known = models::names();
  check<DataError>(std::find(known.begin(), known.end(), file.info.model) != known.end(), kLoad,
                   "expected one of the models {} in {}; got '{}' (a network of your own: load_model_file(path, net))",
                   fmt::join(known, ", "), path, printable(file.info.model, 80));
  try {
    const init::Skip without_values;
    file.net = models::make(file.info.model, file.info.options);
  } catch (const Error& error) {
    fail<DataError>(kLoad, "expected options of {} in {}; {}", file.info.model, path, error.what());
  }
  take_values(path, contents, *file.net);
  file.net->eval();
  return file;
}

ModelInfo load_model_file(const std::string& path, Module& net) {
  const SafeTensors contents = read_safetensors(path);
  ModelInfo info = read_info(path, contents.metadata);
  take_values(path, contents, net);
  return info;
}

}  // namespace heft::train
