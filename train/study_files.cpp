#include <nlohmann/json.hpp>
#include <set>

#include "core/check.h"
#include "train/study_table.h"

namespace heft::train {
namespace {

using Json = nlohmann::ordered_json;

// A name in a cell of a Markdown table.
std::string cell(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '|' ? std::string("\\|") : std::string(1, c == '\n' ? ' ' : c);
  return safe;
}

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string safe = "\"";
  for (const char c : text) safe += c == '"' ? std::string("\"\"") : std::string(1, c);
  return safe + '"';
}

std::string line(const std::vector<std::string>& cells) { return fmt::format("| {} |\n", fmt::join(cells, " | ")); }

std::string header(const std::vector<std::string>& titles) {
  std::string rule = "|";
  for (std::size_t i = 0; i < titles.size(); ++i) rule += "---|";
  return line(titles) + rule + '\n';
}

std::string epoch_of(const Study& study) { return study.best_on_test ? "best on test" : "last"; }

// Columns that no row has a number for are left out.
std::vector<StudyMetric> metrics_in(const std::vector<StudyRow>& rows) {
  std::vector<StudyMetric> metrics;
  for (const StudyMetric& metric : study_metrics())
    for (const StudyRow& row : rows)
      if (row.metrics.count(metric.name) > 0) {
        metrics.push_back(metric);
        break;
      }
  return metrics;
}

std::string results_table(const Study& study, const std::vector<StudyRow>& rows) {
  std::vector<std::string> titles{"data", "method", "setting", "seeds", "epoch"};
  const std::vector<StudyMetric> metrics = metrics_in(rows);
  for (const StudyMetric& metric : metrics) titles.push_back(metric.title);
  titles.insert(titles.end(), {"diverged", "collapsed"});
  std::string text = header(titles);
  for (const StudyRow& row : rows) {
    std::vector<std::string> cells{cell(row.dataset), cell(row.method), cell(row.setting)};
    cells.push_back(row.finished == row.seeds ? std::to_string(row.seeds) : fmt::format("{} of {}", row.finished, row.seeds));
    cells.push_back(epoch_of(study));
    for (const StudyMetric& metric : metrics) {
      const auto found = row.metrics.find(metric.name);
      if (found != row.metrics.end()) cells.push_back(str(std::optional<Spread>(found->second)));
      else cells.push_back(row.diverged > 0 && row.diverged == row.finished ? "diverged" : "-");
    }
    cells.push_back(std::to_string(row.diverged));
    cells.push_back(std::to_string(row.collapsed));
    text += line(cells);
  }
  return text;
}

std::string differences_table(const Study& study, const std::vector<StudyRow>& rows) {
  std::vector<std::string> titles{"data", "method"};
  const std::vector<StudyMetric> metrics = metrics_in(rows);
  for (const StudyMetric& metric : metrics) titles.push_back(metric.title);
  std::string text = header(titles);
  for (const StudyRow& row : rows) {
    if (row.method == study.baseline) continue;
    std::vector<std::string> cells{cell(row.dataset), cell(row.method)};
    for (const StudyMetric& metric : metrics) {
      const auto found = row.minus_baseline.find(metric.name);
      if (found == row.minus_baseline.end()) cells.emplace_back("-");
      else
        cells.push_back(fmt::format("{} ({} of {})", str(std::optional<Spread>(found->second.spread), true),
                                    found->second.above, found->second.spread.n));
    }
    text += line(cells);
  }
  return text;
}

std::string score_of(const StudyTrial& trial) {
  if (trial.score) return fmt::format("{:.2f}", 100 * *trial.score);
  return trial.diverged ? "diverged" : "-";
}

std::string choices_table(const std::vector<StudyChoice>& choices) {
  std::string text = header({"data", "method", "setting", "held out, balanced", "chosen"});
  for (const StudyChoice& choice : choices)
    for (std::size_t i = 0; i < choice.trials.size(); ++i)
      text += line({cell(choice.dataset), cell(choice.method), cell(str(choice.trials[i].setting)), score_of(choice.trials[i]),
                    choice.chosen == i ? "yes" : ""});
  return text;
}

std::string seeds_text(const std::vector<std::uint64_t>& seeds) {
  return fmt::format("{} seed{} ({})", seeds.size(), seeds.size() == 1 ? "" : "s", fmt::join(seeds, ", "));
}

std::size_t environments(const Study& study, const StudyStore& store) {
  std::set<std::map<std::string, std::string>> all;
  for (const StudyRun& run : study_runs(study, store))
    if (const StudyResult* result = study_result(study, store, run)) all.insert(result->environment);
  return all.size();
}

std::string caption(const Study& study, const StudyStore& store) {
  std::string text = fmt::format(
      "Mean ± sample standard deviation (divisor n - 1) over {}. Percent on the test set, but for ms a step (training alone); "
      "ECE is the expected calibration error, memorised the share of flipped training labels that the predictions of the "
      "epoch gave; many, medium and few are classes with more than {}, {} to {}, and fewer than {} training images.\n",
      seeds_text(study.seeds), study.shots.many, study.shots.few, study.shots.many, study.shots.few);
  text += study.best_on_test ? "**The epoch is the one with the highest balanced accuracy on the test set: these numbers are "
                               "optimistic.**\n"
                             : "The epoch is the last.\n";
  if (study.seeds.size() < 3) text += "Fewer than 3 seeds: the deviation says little.\n";
  text +=
      "Diverged: runs whose loss was no longer finite, left out of the numbers. Collapsed: runs that in that "
      "epoch called everything one class, in training or, where training had not come further either, afterwards; counted in "
      "the numbers.\n";
  if (const std::size_t n = environments(study, store); n > 1)
    text += fmt::format("The runs come from {} environments (machine, version, threads): compare times with care.\n", n);
  return text;
}

Json json_of(const Spread& spread) {
  return {{"n", spread.n}, {"mean", spread.mean}, {"deviation", spread.deviation ? Json(*spread.deviation) : Json(nullptr)}};
}

Json json_of(const StudyRow& row) {
  Json json{{"dataset", row.dataset},   {"method", row.method},     {"setting", row.setting},    {"seeds", row.seeds},
            {"finished", row.finished}, {"diverged", row.diverged}, {"collapsed", row.collapsed}};
  json["metrics"] = json["minus_baseline"] = Json::object();
  for (const auto& [name, spread] : row.metrics) json["metrics"][name] = json_of(spread);
  for (const auto& [name, difference] : row.minus_baseline) {
    json["minus_baseline"][name] = json_of(difference.spread);
    json["minus_baseline"][name]["above_zero"] = difference.above;
  }
  return json;
}

Json json_of(const StudyChoice& choice) {
  Json json{{"dataset", choice.dataset}, {"method", choice.method}, {"tried", Json::array()}};
  json["chosen"] = choice.chosen ? Json(str(choice.trials[*choice.chosen].setting)) : Json(nullptr);
  for (const StudyTrial& trial : choice.trials)
    json["tried"].push_back({{"setting", str(trial.setting)},
                             {"held_out_balanced_accuracy", trial.score ? Json(*trial.score) : Json(nullptr)},
                             {"diverged", trial.diverged}});
  return json;
}

}  // namespace

std::string study_markdown(const Study& study, const StudyStore& store) {
  const std::vector<StudyRow> rows = study_table(study, store);
  std::string text = fmt::format("# {}\n", study.name);
  if (!study.seeds.empty()) text += '\n' + results_table(study, rows) + '\n' + caption(study, store);
  if (!study.seeds.empty() && !study.baseline.empty())
    text += fmt::format(
        "\n## Minus {0}, seed by seed\n\n{1}\nMean ± sample standard deviation of the differences, in points; in "
        "brackets the seeds in which the method is above {0}.\n",
        cell(study.baseline), differences_table(study, rows));
  if (const std::vector<StudyChoice> choices = study_choices(study, store); !choices.empty())
    text += fmt::format(
        "\n## How settings were chosen\n\n{}\nPercent on {} % of the training set, held out, after the last epoch; seeds {}. "
        "The test set had no part in it.\n",
        choices_table(choices), 100 * study.validation,
        fmt::join(study.choosing_seeds.empty() ? std::vector<std::uint64_t>{study.seeds.front()} : study.choosing_seeds, ", "));
  return text;
}

std::string study_csv(const Study& study, const StudyStore& store) {
  std::string text = "data,method,setting,epoch,seeds,finished,diverged,collapsed";
  for (const StudyMetric& metric : study_metrics()) text += fmt::format(",{0}_mean,{0}_deviation,{0}_n", metric.name);
  text += '\n';
  for (const StudyRow& row : study_table(study, store)) {
    text += fmt::format("{},{},{},{},{},{},{},{}", quoted(row.dataset), quoted(row.method), quoted(row.setting),
                        epoch_of(study), row.seeds, row.finished, row.diverged, row.collapsed);
    for (const StudyMetric& metric : study_metrics()) {
      const auto found = row.metrics.find(metric.name);
      if (found == row.metrics.end()) text += ",,,0";
      else if (const Spread& all = found->second; all.deviation)
        text += fmt::format(",{},{},{}", all.mean, *all.deviation, all.n);
      else text += fmt::format(",{},,{}", all.mean, all.n);
    }
    text += '\n';
  }
  return text;
}

std::string study_json(const Study& study, const StudyStore& store, const std::map<std::string, std::string>& environment) {
  Json json{{"name", study.name},
            {"epoch", epoch_of(study)},
            {"deviation", "sample, divisor n - 1"},
            {"seeds", study.seeds},
            {"baseline", study.baseline.empty() ? Json(nullptr) : Json(study.baseline)},
            {"held_out", study.validation},
            {"environment", environment},
            {"rows", Json::array()},
            {"choices", Json::array()},
            {"runs", Json::array()}};
  for (const StudyRow& row : study_table(study, store)) json["rows"].push_back(json_of(row));
  for (const StudyChoice& choice : study_choices(study, store)) json["choices"].push_back(json_of(choice));
  for (const StudyRun& run : study_runs(study, store))
    if (const StudyResult* result = study_result(study, store, run)) json["runs"].push_back(Json::parse(result_line(*result)));
  json["file"] = study.text;
  return json.dump(2) + '\n';
}

}  // namespace heft::train
