#include "cli/report_data.h"

#include <algorithm>
#include <filesystem>

#include "core/check.h"

namespace heft::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOp = "report";
// Beyond these a page grows without showing more.
constexpr std::size_t kMostEpochs = 1000, kMostSteps = 2000, kMostSnapshots = 40, kMostConfusionClasses = 30,
                      kMostPixelDigits = 1000000;

const std::vector<Field> kConfig = {
    {"optimizer", Kind::text, false},     {"model", Kind::text, false},        {"loss", Kind::text, false},
    {"class_weights", Kind::text, false}, {"reweight", Kind::text, false},     {"lambda", Kind::number, false},
    {"lambda_auto", Kind::text, false},   {"lambda_from", Kind::count, false}, {"min_share", Kind::number, false},
    {"lr", Kind::number, false},          {"accumulate", Kind::count, false},  {"epochs", Kind::count, false},
    {"seed", Kind::count, false},         {"mixup", Kind::number, false},      {"data", Kind::object, false}};
const std::vector<Field> kConfigData = {
    {"data", Kind::text, false}, {"imbalance", Kind::text, false}, {"noise", Kind::text, false}};
const std::vector<Field> kEpoch = {{"epoch", Kind::count},
                                   {"train_loss", Kind::number},
                                   {"train_accuracy", Kind::number, false},
                                   {"test_loss", Kind::number, false},
                                   {"test_accuracy", Kind::number, false},
                                   {"balanced_accuracy", Kind::number, false},
                                   {"worst_class_accuracy", Kind::number, false},
                                   {"calibration_error", Kind::number, false},
                                   {"validation_loss", Kind::number, false},
                                   {"validation_balanced_accuracy", Kind::number, false},
                                   {"per_class_accuracy", Kind::gappy_numbers, false},
                                   {"collapsed_to", Kind::count, false},
                                   {"memorised", Kind::number, false},
                                   {"lambda", Kind::number, false},
                                   {"effective_share", Kind::number, false},
                                   {"images_per_second", Kind::number, false}};
const std::vector<Field> kStep = {{"step", Kind::count},
                                  {"samples", Kind::count},
                                  {"mean_loss", Kind::number},
                                  {"weighted_loss", Kind::number},
                                  {"effective_sample_size", Kind::number},
                                  {"kl_from_prior", Kind::number},
                                  {"lambda", Kind::number, false},
                                  {"log_u", Kind::number, false},
                                  {"batch_log_mean_exp", Kind::number, false}};
const std::vector<Field> kSnapshot = {{"epoch", Kind::count},           {"mean_loss", Kind::number},
                                      {"weighted_loss", Kind::number},  {"weight_by_class", Kind::numbers},
                                      {"count_by_class", Kind::counts}, {"confusion", Kind::matrix, false},
                                      {"batch", Kind::object}};
const std::vector<Field> kBatch = {{"reduction", Kind::text},        {"lambda", Kind::number, false},
                                   {"losses", Kind::numbers},        {"weights", Kind::numbers},
                                   {"labels", Kind::counts, false},  {"predictions", Kind::counts, false},
                                   {"priors", Kind::numbers, false}, {"flipped", Kind::flags, false}};
const std::vector<Field> kSamples = {{"epoch", Kind::count},  {"classes", Kind::texts},   {"class_counts", Kind::counts},
                                     {"image", Kind::counts}, {"hardest", Kind::objects}, {"suspects", Kind::objects}};
const std::vector<Field> kSample = {{"index", Kind::count},
                                    {"label", Kind::count},
                                    {"clean_label", Kind::count, false},
                                    {"predicted", Kind::count},
                                    {"loss", Kind::number, false},
                                    {"weight", Kind::number, false},
                                    {"confidence", Kind::number, false},
                                    {"label_probability", Kind::number, false},
                                    {"margin", Kind::number, false},
                                    {"pixels", Kind::text}};

std::string file_in(const std::string& folder, const char* name) { return (fs::path(folder) / name).string(); }

// {"a": [...], "b": [...]}: half the size of rows.
Json columns(const std::vector<Line>& lines, const std::vector<Field>& fields) {
  Json json;
  for (const Field& field : fields) {
    Json& column = json[field.name] = Json::array();
    for (const Line& line : lines) column.push_back(line.json[field.name]);
  }
  return json;
}

void check_classes(const Json& numbers, std::size_t classes, const char* name, const Place& place) {
  for (const Json& number : numbers)
    check<DataError>(number < classes, kOp, "expected {} below {}, the number of classes, in {}; got {}", name, classes,
                     str(place), number.dump());
}

Json read_snapshot(Line line, std::size_t classes, bool with_confusion) {
  Json& snapshot = line.json;
  const Place& place = line.place;
  Json& batch = snapshot["batch"] = pick(snapshot["batch"], kBatch, place);
  const std::size_t n = batch["losses"].size();
  check<DataError>(n > 0, kOp, "expected losses in {}; got none", str(place));
  for (const char* name : {"weights", "labels", "predictions", "priors", "flipped"})
    if (!batch[name].is_null()) check_size(batch[name], n, name, place);
  for (const char* name : {"labels", "predictions"}) check_classes(batch[name], classes, name, place);
  for (const char* name : {"weight_by_class", "count_by_class"}) check_size(snapshot[name], classes, name, place);
  if (snapshot["confusion"].is_null()) return snapshot;
  check_size(snapshot["confusion"], classes, "confusion", place);
  for (const Json& row : snapshot["confusion"]) check_size(row, classes, "a row of confusion", place);
  if (!with_confusion) snapshot["confusion"] = nullptr;
  return snapshot;
}

// Of many classes only the last matrix: it is most of the page.
Json read_snapshots(const std::string& path, std::size_t classes) {
  Json snapshots = Json::array();
  std::vector<Line> lines = read_lines(path, kSnapshot, kMostSnapshots);
  for (Line& line : lines)
    snapshots.push_back(read_snapshot(std::move(line), classes, classes <= kMostConfusionClasses || &line == &lines.back()));
  return snapshots;
}

Json read_samples(const std::string& path) {
  Json json = read_object(path, kSamples);
  const Place place{path};
  const std::size_t classes = json["class_counts"].size();
  check<DataError>(json["classes"].empty() || json["classes"].size() == classes, kOp,
                   "expected {} entries of classes, or none, in {}; got {}", classes, str(place), json["classes"].size());
  std::size_t digits = 2;  // of an image
  for (const Json& extent : json["image"]) {
    check<DataError>(extent <= 65536, kOp, "expected an image of at most 65536 in any direction in {}; got {}", str(place),
                     extent.dump());
    digits = std::min<std::size_t>(digits * extent.get<std::size_t>(), kMostPixelDigits + 1);
  }
  std::size_t room = kMostPixelDigits;
  for (const char* list : {"hardest", "suspects"})
    for (Json& sample : json[list]) {
      sample = pick(sample, kSample, place);
      for (const char* name : {"label", "predicted", "clean_label"})
        if (!sample[name].is_null()) check_classes(Json::array({sample[name]}), classes, name, place);
      const auto& pixels = sample["pixels"].get_ref<const std::string&>();
      const bool hex = pixels.find_first_not_of("0123456789abcdef") == std::string::npos;
      check<DataError>(hex && (pixels.empty() || pixels.size() == digits || digits > kMostPixelDigits), kOp,
                       "expected pixels to be {} hex digits, or none, in {}; got {} characters", digits, str(place),
                       pixels.size());
      if (pixels.size() > room) sample["pixels"] = "";
      else room -= pixels.size();
    }
  return json;
}

Json read_config(const std::string& path) {
  const Json config = parse_object(read_file(path), {path});
  Json picked = pick(config, kConfig, {path});
  picked["data"] = pick(picked["data"].is_null() ? Json::object() : picked["data"], kConfigData, {path});
  return picked;
}

// Of the same settings but for lambda and the seed.
std::string family(const std::string& path) {
  Json config = parse_object(read_file(path), {path});
  for (const char* name : {"lambda", "seed"}) config.erase(name);
  return config.dump();
}

}  // namespace

Json run_data(const std::string& folder) {
  check<DataError>(fs::is_directory(folder), kOp, "expected the folder of a run; there is none at {}", folder);
  const auto there = [&folder](const char* name) { return fs::exists(file_in(folder, name)); };
  check<DataError>(there("metrics.jsonl"), kOp,
                   "expected the folder of heft train, with metrics.jsonl, or of heft study, with study.json; {} has neither",
                   folder);
  Json run = {{"name", fs::path(folder).lexically_normal().string()}, {"config", nullptr}, {"family", nullptr}};
  if (there("config.json")) {
    run["config"] = read_config(file_in(folder, "config.json"));
    run["family"] = family(file_in(folder, "config.json"));
  }
  const std::vector<Line> epochs = read_lines(file_in(folder, "metrics.jsonl"), kEpoch, kMostEpochs);
  check<DataError>(!epochs.empty(), kOp, "expected a finished epoch in {}; it has none", file_in(folder, "metrics.jsonl"));
  run["epochs"] = Json::array();
  for (const Line& line : epochs) run["epochs"].push_back(line.json);

  run["samples"] = there("samples.json") ? read_samples(file_in(folder, "samples.json")) : Json(nullptr);
  const bool known = !run["samples"].is_null();
  const std::size_t classes = known ? run["samples"]["class_counts"].size() : epochs.back().json["per_class_accuracy"].size();
  for (const Line& line : epochs)
    if (!line.json["per_class_accuracy"].is_null())
      check_size(line.json["per_class_accuracy"], classes, "per_class_accuracy", line.place);
  run["class_count"] = classes;
  run["snapshots"] =
      there("snapshots.jsonl") ? read_snapshots(file_in(folder, "snapshots.jsonl"), classes) : Json(Json::array());
  run["steps"] = nullptr;
  if (there("steps.jsonl"))
    if (const auto lines = read_lines(file_in(folder, "steps.jsonl"), kStep, kMostSteps); !lines.empty())
      run["steps"] = columns(lines, kStep);
  return run;
}

void number_families(Json& runs) {
  std::vector<std::string> known;
  for (Json& run : runs) {
    if (run["family"].is_null()) continue;
    const auto text = run["family"].get<std::string>();
    const auto found = std::find(known.begin(), known.end(), text);
    run["family"] = found - known.begin();
    if (found == known.end()) known.push_back(text);
  }
}

}  // namespace heft::cli
