// The part of cli/report_data.h that reads studies.
#include <filesystem>
#include <map>
#include <set>

#include "cli/report_data.h"
#include "core/check.h"
#include "train/study_table.h"

namespace heft::cli {
namespace {

namespace fs = std::filesystem;

const std::vector<Field> kStudy = {{"name", Kind::text},    {"epoch", Kind::text},
                                   {"seeds", Kind::counts}, {"baseline", Kind::text, false},
                                   {"rows", Kind::objects}, {"runs", Kind::objects}};
const std::vector<Field> kRow = {{"dataset", Kind::text},    {"method", Kind::text},    {"setting", Kind::text},
                                 {"seeds", Kind::count},     {"finished", Kind::count}, {"diverged", Kind::count},
                                 {"collapsed", Kind::count}, {"metrics", Kind::object}, {"minus_baseline", Kind::object}};
const std::vector<Field> kSpread = {{"n", Kind::count}, {"mean", Kind::number}, {"deviation", Kind::number, false}};
const std::vector<Field> kRun = {{"dataset", Kind::text},  {"method", Kind::text},         {"setting", Kind::text},
                                 {"seed", Kind::count},    {"metrics", Kind::object},      {"recipe", Kind::object},
                                 {"choosing", Kind::flag}, {"diverged", Kind::text, false}};
const std::vector<Field> kRunMetrics = {{"balanced_accuracy", Kind::number, false},
                                        {"worst_class_accuracy", Kind::number, false}};
const std::vector<Field> kRecipe = {{"lambda", Kind::number, false}, {"gamma", Kind::number, false}};

Json spreads(const Json& metrics, const Place& place) {
  Json picked = Json::object();
  for (const train::StudyMetric& metric : train::study_metrics()) {
    const auto found = metrics.find(metric.name);
    if (found == metrics.end()) continue;
    check<DataError>(found->is_object(), "report", "expected {} to be an object in {}", metric.name, str(place));
    picked[metric.name] = pick(*found, kSpread, place);
  }
  return picked;
}

Json read_row(const Json& json, const Place& place) {
  Json row = pick(json, kRow, place);
  row["metrics"] = spreads(json["metrics"], place);
  row["minus_baseline"] = spreads(json["minus_baseline"], place);
  return row;
}

}  // namespace

bool is_study(const std::string& folder) { return fs::exists(fs::path(folder) / "study.json"); }

Json study_data(const std::string& folder) {
  const Place place{(fs::path(folder) / "study.json").string()};
  Json study = read_object(place.path, kStudy);
  study["folder"] = fs::path(folder).lexically_normal().string();
  study["metrics"] = Json::array();
  for (const train::StudyMetric& metric : train::study_metrics())
    study["metrics"].push_back({{"name", metric.name}, {"title", metric.title}, {"percent", metric.scale == 100}});
  for (Json& row : study["rows"]) row = read_row(row, place);

  // Of the runs those of a method that was tried with several lambdas.
  std::map<std::pair<std::string, std::string>, std::set<double>> lambdas;
  const auto method = [](const Json& run) {
    return std::make_pair(run["dataset"].get<std::string>(), run["method"].get<std::string>());
  };
  Json tilted = Json::array();
  for (const Json& json : study["runs"]) {
    Json run = pick(json, kRun, place);
    const Json recipe = pick(run["recipe"], kRecipe, place);
    run.erase("recipe");
    if (recipe["gamma"].is_null() || !run["diverged"].is_null()) continue;  // no exponential weights; no numbers
    run["lambda"] = recipe["lambda"];
    run["metrics"] = pick(run["metrics"], kRunMetrics, place);
    lambdas[method(run)].insert(run["lambda"].is_null() ? 0 : run["lambda"].get<double>());
    tilted.push_back(std::move(run));
  }
  study["runs"] = Json::array();
  for (Json& run : tilted)
    if (lambdas[method(run)].size() > 1) study["runs"].push_back(std::move(run));
  return study;
}

}  // namespace heft::cli
