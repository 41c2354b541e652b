#include "train/study_table.h"

#include <cmath>
#include <filesystem>

#include "core/check.h"
#include "train/atomic_file.h"

namespace heft::train {
namespace {

using Metrics = std::map<std::string, double>;
using BySeed = std::map<std::uint64_t, Metrics>;  // of runs that are finished and did not diverge

// Many, medium and few are a matter of the table's thresholds, so they are not among what a run keeps.
Metrics metrics_of(const StudyResult& result, const data::ShotThresholds& thresholds) {
  Metrics metrics = result.metrics;
  const data::ShotAccuracy shots = data::shot_accuracy(result.per_class_accuracy, result.class_counts, thresholds);
  const auto add = [&metrics](const char* name, const std::optional<double>& value) {
    if (value) metrics[name] = *value;
  };
  add("many_accuracy", shots.many);
  add("medium_accuracy", shots.medium);
  add("few_accuracy", shots.few);
  return metrics;
}

std::vector<double> values_of(const BySeed& results, const StudyMetric& metric) {
  std::vector<double> values;
  for (const auto& [seed, metrics] : results)
    if (metrics.count(metric.name) > 0) values.push_back(metric.scale * metrics.at(metric.name));
  return values;
}

std::vector<double> differences(const BySeed& results, const BySeed& baseline, const StudyMetric& metric) {
  std::vector<double> values;
  for (const auto& [seed, metrics] : results) {
    const auto other = baseline.find(seed);
    if (other != baseline.end() && metrics.count(metric.name) > 0 && other->second.count(metric.name) > 0)
      values.push_back(metric.scale * (metrics.at(metric.name) - other->second.at(metric.name)));
  }
  return values;
}

}  // namespace

const std::vector<StudyMetric>& study_metrics() {
  static const std::vector<StudyMetric> all{{.name = "accuracy", .title = "accuracy"},
                                            {.name = "balanced_accuracy", .title = "balanced"},
                                            {.name = "worst_class_accuracy", .title = "worst class"},
                                            {.name = "many_accuracy", .title = "many"},
                                            {.name = "medium_accuracy", .title = "medium"},
                                            {.name = "few_accuracy", .title = "few"},
                                            {.name = "calibration_error", .title = "ECE"},
                                            {.name = "memorised", .title = "memorised"},
                                            {.name = "ms_per_step", .title = "ms a step", .scale = 1}};
  return all;
}

std::optional<Spread> spread(const std::vector<double>& values) {
  if (values.empty()) return {};
  Spread result{.n = static_cast<std::int64_t>(values.size())};
  const auto n = static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) result.mean += value / n;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  if (result.n > 1) result.deviation = std::sqrt(squares / (n - 1));
  return result;
}

std::string str(const std::optional<Spread>& spread, bool sign, const std::string& plus_minus) {
  if (!spread) return "-";
  const std::string mean = sign ? fmt::format("{:+.2f}", spread->mean) : fmt::format("{:.2f}", spread->mean);
  return spread->deviation ? fmt::format("{}{}{:.2f}", mean, plus_minus, *spread->deviation) : mean;
}

std::vector<StudyRow> study_table(const Study& study, const StudyStore& store) {
  std::map<std::pair<std::string, std::string>, BySeed> finished;
  std::map<std::pair<std::string, std::string>, StudyRow> by_name;
  for (const StudyRun& run : study_runs(study, store)) {
    if (run.choosing) continue;
    const auto name = std::make_pair(run.dataset, run.method);
    StudyRow& row = by_name.try_emplace(name, StudyRow{.dataset = run.dataset, .method = run.method}).first->second;
    ++row.seeds;
    if (run.open) continue;
    row.setting = str(run.setting);
    const StudyResult* result = study_result(study, store, run);
    if (result == nullptr) continue;
    ++row.finished;
    if (result->diverged) {
      ++row.diverged;
      continue;
    }
    row.collapsed += result->collapsed_to.has_value();
    finished[name][run.seed] = metrics_of(*result, study.shots);
  }
  std::vector<StudyRow> rows;
  for (const StudyFields& dataset : study.datasets)
    for (const StudyMethod& method : study.methods) {
      const auto found = by_name.find({dataset.name, method.name});
      if (found == by_name.end() || !runs_on(method, dataset)) continue;
      StudyRow& row = found->second;
      const BySeed& results = finished[{dataset.name, method.name}];
      for (const StudyMetric& metric : study_metrics()) {
        if (const auto all = spread(values_of(results, metric))) row.metrics[metric.name] = *all;
        if (study.baseline.empty() || method.name == study.baseline) continue;
        const std::vector<double> minus = differences(results, finished[{dataset.name, study.baseline}], metric);
        Difference difference;
        for (const double value : minus) difference.above += value > 0;
        if (const auto all = spread(minus)) {
          difference.spread = *all;
          row.minus_baseline[metric.name] = difference;
        }
      }
      rows.push_back(row);
    }
  return rows;
}

void write_study_tables(const std::string& folder, const Study& study, const StudyStore& store,
                        const std::map<std::string, std::string>& environment) {
  const auto file = [&folder](const char* name) { return (std::filesystem::path(folder) / name).string(); };
  write_atomically(file("table.md"), study_markdown(study, store));
  write_atomically(file("table.csv"), study_csv(study, store));
  write_atomically(file("study.json"), study_json(study, store, environment));
}

}  // namespace heft::train
