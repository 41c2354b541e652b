// What the finished runs of a study say together: means, sample standard deviations, differences seed by seed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "train/study.h"

namespace heft::train {

struct StudyMetric {
  std::string name;    // in StudyResult::metrics and in files
  std::string title;   // in tables
  double scale = 100;  // of what tables show; 100: percent
};
const std::vector<StudyMetric>& study_metrics();

// Mean and sample standard deviation (divisor n - 1), unset for a single value.
struct Spread {
  std::int64_t n = 0;
  double mean = 0;
  std::optional<double> deviation = {};
};
// Unset for no values at all.
std::optional<Spread> spread(const std::vector<double>& values);
// "78.21 ± 1.05", or "78.21"; "-" where unset. `sign`: "+1.20 ± 0.31". `plus_minus` stands between the two.
std::string str(const std::optional<Spread>& spread, bool sign = false, const std::string& plus_minus = " ± ");

struct Difference {
  Spread spread;
  std::int64_t above = 0;  // seeds in which it is above 0
};

// A method on a data set. Numbers are scaled as study_metrics() says. Diverged runs are in none of them.
struct StudyRow {
  std::string dataset, method;
  std::string setting = {};                               // chosen, "" where there was nothing to choose
  std::int64_t seeds = 0;                                 // that the study asks for
  std::int64_t finished = 0;                              // of them, those that diverged among them
  std::int64_t diverged = 0;                              // a loss was not finite
  std::int64_t collapsed = 0;                             // all predictions of one class in the reported epoch
  std::map<std::string, Spread> metrics = {};             // by name; missing where no run has it
  std::map<std::string, Difference> minus_baseline = {};  // over the seeds that both have; empty for the baseline
};
std::vector<StudyRow> study_table(const Study& study, const StudyStore& store);

// The table, the differences to the baseline, and the settings that were tried, with what the numbers are.
std::string study_markdown(const Study& study, const StudyStore& store);
// A line per row of study_table(), a column per number: NAME_mean, NAME_deviation, NAME_n. What is missing is empty.
std::string study_csv(const Study& study, const StudyStore& store);
// All of it: rows, choices with every score, runs, the study's file, date, environment.
std::string study_json(const Study& study, const StudyStore& store, const std::map<std::string, std::string>& environment);
// table.md, table.csv and study.json, each replaced whole.
void write_study_tables(const std::string& folder, const Study& study, const StudyStore& store,
                        const std::map<std::string, std::string>& environment);

}  // namespace heft::train
