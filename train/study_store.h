// The finished runs of a study: results.jsonl, a JSON object per line.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace heft::train {

struct StudyResult {
  std::string dataset, method;
  bool choosing = false;
  std::string setting = {};  // "lr = 0.05, lambda = 2"
  std::uint64_t seed = 0;
  std::string recipe = {};                   // to_json() of it; with best_on_test, what identifies the run
  bool best_on_test = false;                 // which epoch is reported
  std::optional<std::string> diverged = {};  // why; then the numbers below are missing
  int epoch = 0;                             // the reported one
  // By name, as fractions and milliseconds (study_metrics()), on the held-out part where `choosing`, else on the test set. One
  // that this run has not is missing.
  std::map<std::string, double> metrics = {};
  std::vector<std::optional<double>> per_class_accuracy = {};
  std::vector<std::int64_t> class_counts = {};          // of the training set
  std::optional<std::int64_t> collapsed_to = {};        // EpochReport's, of the reported epoch
  double train_loss = 0;                                // of the reported epoch
  double seconds = 0;                                   // of training, all epochs
  std::string finished = {};                            // date and time, UTC
  std::map<std::string, std::string> environment = {};  // machine, version, threads
};

class StudyStore {
 public:
  // Reads `path` if it is there. A last line that was cut off is dropped; any other that is not a result is a DataError
  // naming file and line.
  explicit StudyStore(std::string path);
  // The result with this recipe, or null. Fields that either does not name count as their defaults, so that a version of heft
  // with a field more knows the runs of the one before.
  const StudyResult* find(const std::string& recipe, bool best_on_test) const;
  // The last result of the same data set, method, seed and, where `choosing`, setting, whatever its recipe; or null.
  const StudyResult* find_like(const StudyResult& run) const;
  // The file is replaced by one with a line more: it never holds half a result. Throws DataError.
  void add(const StudyResult& result);
  const std::vector<StudyResult>& results() const { return results_; }

 private:
  void keep(StudyResult result);

  std::string path_;
  std::string text_;
  std::vector<StudyResult> results_;
  std::map<std::pair<std::string, bool>, std::size_t> by_recipe_;  // positions in results_; the first of equals
};

// One line without its end; and back, which throws DataError where it is none.
std::string result_line(const StudyResult& result);
StudyResult read_result_line(const std::string& line);
// "lr 0.1 (was 0.05), epochs 20 (was 10)", from the JSON of two recipes.
std::string recipe_changes(const std::string& before, const std::string& now);

}  // namespace heft::train
