// The files of a heft train in its folder while it runs: metrics, records, checkpoints, the best weights.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cli/resume.h"
#include "cli/run_folder.h"
#include "train/best_epoch.h"
#include "train/checkpoints.h"
#include "train/metrics_log.h"
#include "train/recorder.h"

namespace heft::cli {

struct RunFilesOptions {
  RunHabits habits = {};
  bool record = true;
};

class RunFiles {
 public:
  // Brings the setup to where the resumed run was, and binds to its callbacks what writes; it must outlive this. A run that
  // begins removes what another has left there. Throws ValueError and DataError.
  RunFiles(std::string folder, train::Setup& setup, const std::optional<ResumedRun>& resumed, const RunFilesOptions& options);
  RunFiles(const RunFiles&) = delete;
  RunFiles& operator=(const RunFiles&) = delete;

  // After each epoch; the last writes model.safetensors too.
  void end_epoch(const train::EpochReport& report);
  const train::BestEpoch& best() const { return best_; }

 private:
  train::RunState load(const ResumedRun& run);
  void go_back(const ResumedRun& run, const train::RunState& to);
  void begin_anew() const;
  void save_best();
  std::map<std::string, std::string> about_best() const;
  bool best_is_there(int or_of_epoch) const;
  void remove(const char* name) const;
  void bind();
  bool is_over(int epoch) const { return patience_ > 0 && epoch - best_.epoch() >= patience_; }
  void save(int epochs, std::shared_ptr<const train::EpochPart> part);
  std::string file(const char* name) const;

  std::string folder_;
  RunFolder mine_;
  train::Setup& setup_;
  RunHabits habits_;
  std::map<std::string, std::string> run_metadata_;
  train::Checkpoints checkpoints_;
  int patience_ = 0;
  std::optional<train::MetricsLog> metrics_;
  std::optional<train::Recorder> recorder_;
  train::BestEpoch best_;
};

}  // namespace heft::cli
